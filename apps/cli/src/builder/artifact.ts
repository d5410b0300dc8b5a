import type { FunctionManifest } from "@fn/registry"
import type { Declared } from "./declared.js"

/** What a language's builder is given. */
export interface BuildInput {
  /** Absolute path of the function's folder. */
  readonly dir: string
  readonly manifest: FunctionManifest
  /** Environment of the compilers. */
  readonly env: Readonly<Record<string, string>>
  /** Where finished builds are kept. Default: a folder of the user's cache. */
  readonly cacheDir: string
  readonly onProgress: (step: string) => void
  readonly signal?: AbortSignal | undefined
}

/** What a language's builder made. */
export interface BuiltArtifact {
  /** The artifact on disk. */
  readonly path: string
  /** Its name at the host; the extension says how it is started. */
  readonly fileName: string
  /** `sha256:<hex>` over what it was made from. The same sources give the same digest, wherever they are. */
  readonly sourceDigest: string
  /** Whether it is an archive of several files, for hosts to unpack. */
  readonly archive?: boolean
  /** Absolute paths of the author's files that went in, for watching. */
  readonly inputs: readonly string[]
  readonly warnings: readonly string[]
  /** What its code says of itself, where a builder can tell. */
  readonly declared?: Declared
  /** Whether an earlier build was used. */
  readonly cached: boolean
}
