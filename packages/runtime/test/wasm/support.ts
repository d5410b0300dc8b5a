import type { FunctionManifest } from "@fn/registry"
import type { Msg } from "@nats-io/transport-node"
import createWabt from "wabt"
import type { RuntimeOptions } from "../../src/index.js"
import { startTestHost, type TestHost } from "../test-host.js"

const WASI = ["fd_read", "fd_write", "fd_close", "fd_renumber"]
  .map((name) => {
    const params = { fd_close: "i32", fd_renumber: "i32 i32" }[name] ?? "i32 i32 i32 i32"
    return `(import "wasi_snapshot_preview1" "${name}" (func $${name} (param ${params}) (result i32)))`
  })
  .join("\n")

/**
 * A WASI program whose `_start` is `body`. It may call `$print` and `$log` with address and length of a text, `$read` (which reads stdin to
 * address 1000 and gives its length) and `$exit`; `texts` are put at their addresses.
 */
export function program(body: string, options: { texts?: Record<number, string>; memory?: string; more?: string } = {}): string {
  const texts = Object.entries(options.texts ?? {}).map(([at, text]) => `(data (i32.const ${at}) ${JSON.stringify(text)})`)
  return `(module
    ${WASI}
    (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
    ${options.memory ?? '(memory (export "memory") 2)'}
    ${texts.join("\n")}
    (func $put (param $fd i32) (param $at i32) (param $length i32)
      (i32.store (i32.const 0) (local.get $at)) (i32.store (i32.const 4) (local.get $length))
      (drop (call $fd_write (local.get $fd) (i32.const 0) (i32.const 1) (i32.const 8))))
    (func $print (param i32 i32) (call $put (i32.const 1) (local.get 0) (local.get 1)))
    (func $log (param i32 i32) (call $put (i32.const 2) (local.get 0) (local.get 1)))
    (func $read (result i32) (local $total i32)
      (loop $more
        (i32.store (i32.const 0) (i32.add (i32.const 1000) (local.get $total))) (i32.store (i32.const 4) (i32.const 4096))
        (drop (call $fd_read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 8)))
        (local.set $total (i32.add (local.get $total) (i32.load (i32.const 8))))
        (br_if $more (i32.load (i32.const 8))))
      (local.get $total))
    ${options.more ?? ""}
    (func (export "_start") ${body}))`
}

/** Assembles WebAssembly text. */
export async function assemble(text: string, features: Record<string, boolean> = {}): Promise<Buffer> {
  const wabt = await createWabt()
  const module = wabt.parseWat("test.wat", text, features)
  try {
    return Buffer.from(module.toBinary({}).buffer)
  } finally {
    module.destroy()
  }
}

/** A host whose functions are WebAssembly. */
export interface WasmHost extends TestHost {
  deployWasm(name: string, wasm: Uint8Array, manifest?: Partial<FunctionManifest>): Promise<void>
  /** Calls a function of language `custom`. */
  call(name: string, payload?: string | Uint8Array, headers?: Record<string, string>): Promise<Msg>
}

export async function startWasmHost(options: Partial<RuntimeOptions> = {}): Promise<WasmHost> {
  const host = await startTestHost(options)
  return {
    ...host,
    deployWasm: (name, wasm, manifest = {}) =>
      host.deploy({ name, language: "custom", runtime: "wasm", ...manifest }, { artifact: wasm, fileName: `${name}.wasm` }),
    call: (name, payload = "{}", headers = {}) => host.request(`function.custom.${name}`, payload, headers, 60_000),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}
