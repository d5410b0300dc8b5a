/** The part of the WebAssembly JavaScript interface that is used here. Node has it; neither its types nor ES2023's declare it. */

/** A compiled module. Opaque. */
export interface WasmModule {
  readonly __wasmModule?: never
}

/** Linear memory of an instance. `buffer` is another one whenever the memory has grown. */
export interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** A module with its imports bound. */
export interface WasmInstance {
  readonly exports: Readonly<Record<string, unknown>>
}

/** What a module wants or offers. */
export interface WasmExport {
  readonly name: string
  readonly kind: "function" | "table" | "memory" | "global" | "tag"
}
export interface WasmImport extends WasmExport {
  readonly module: string
}

export type WasmImports = Readonly<Record<string, Readonly<Record<string, unknown>>>>

interface Engine {
  compile(bytes: Uint8Array): Promise<WasmModule>
  readonly Module: {
    imports(module: WasmModule): WasmImport[]
    exports(module: WasmModule): WasmExport[]
  }
  readonly Instance: new (module: WasmModule, imports: WasmImports) => WasmInstance
  readonly RuntimeError: new () => Error
}

export const wasm: Engine = (globalThis as unknown as { WebAssembly: Engine }).WebAssembly
