import type { FunctionIdentity } from "@fn/core"
import type { StdinForm } from "@fn/registry"

/** Body of the `load` frame to a WebAssembly process; everything else is as docs/module-protocol.md says. */
export interface WasmLoad {
  /** Absolute path of the module. */
  readonly path: string
  readonly fn: FunctionIdentity
  readonly config: Readonly<Record<string, unknown>>
  readonly env: Readonly<Record<string, string>>
  readonly stdin: StdinForm
  /** Of events that say no type. */
  readonly resultType: string
  readonly memoryMb: number
  readonly maxOutputBytes: number
}
