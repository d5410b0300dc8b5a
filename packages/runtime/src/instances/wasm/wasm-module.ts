/**
 * What a WebAssembly file must be to run here, and how its memory is kept within bounds: the maximum that its memory section declares is lowered
 * (or put in) before it is compiled. So the engine itself refuses to grow further, whatever the code does. docs/wasm.md
 */
import { FnError, messageOf } from "@fn/core"
import { type WasmModule, wasm } from "./wasm-engine.js"

const PAGE_BYTES = 64 * 1024
const MAGIC = 0x6d736100
const CORE_VERSION = 1
const MEMORY_SECTION = 5
const HAS_MAXIMUM = 1
const PREVIEW1 = "wasi_snapshot_preview1"

/**
 * `bytes` with a memory that cannot grow beyond `memoryMb`.
 * @throws {FnError} INVALID_ARTIFACT for what is no module; LOAD_FAILED for a memory that cannot be bounded; MEMORY_LIMIT for one that begins larger
 */
export function capMemory(bytes: Uint8Array, memoryMb: number): Uint8Array {
  checkHead(bytes)
  const memories = sectionsOf(bytes).filter(({ id }) => id === MEMORY_SECTION)
  const section = memories[0]
  if (section === undefined || memories.length > 1) throw unfit("it has no memory of its own")
  const capped = cappedSection(bytes.subarray(section.contentsAt, section.end), Math.floor((memoryMb * 1024 * 1024) / PAGE_BYTES), memoryMb)
  return concat([bytes.subarray(0, section.startsAt), capped, bytes.subarray(section.end)])
}

/**
 * Checks that a compiled module needs nothing but WASI preview 1 and is a program.
 * @throws {FnError} failed_precondition LOAD_FAILED naming what is wrong
 */
export function checkInterface(module: WasmModule): void {
  const foreign = wasm.Module.imports(module).filter((wanted) => wanted.module !== PREVIEW1 || wanted.kind !== "function")
  if (foreign.length > 0) {
    const names = foreign.slice(0, 5).map(({ module: from, name, kind }) => `${kind} ${from}.${name}`)
    throw unfit(
      `it imports ${names.join(", ")}${foreign.length > 5 ? ` and ${foreign.length - 5} more` : ""}; only functions of ${PREVIEW1} are there`,
    )
  }
  const exported = new Map(wasm.Module.exports(module).map(({ name, kind }) => [name, kind]))
  if (exported.get("_start") !== "function")
    throw unfit("it exports no function _start: build it as a program (a command), not as a library")
  if (exported.get("memory") !== "memory") throw unfit("it does not export its memory as memory")
}

/** Everything that is checked before a version runs, for builders. @throws {FnError} as {@link capMemory} and {@link checkInterface} */
export async function checkWasm(bytes: Uint8Array, memoryMb: number): Promise<void> {
  checkInterface(await compile(capMemory(bytes, memoryMb)))
}

/** @throws {FnError} invalid_argument INVALID_ARTIFACT */
export async function compile(bytes: Uint8Array): Promise<WasmModule> {
  try {
    return await wasm.compile(bytes)
  } catch (thrown) {
    throw FnError.of("INVALID_ARTIFACT", `the WebAssembly module does not compile: ${messageOf(thrown)}`, { cause: thrown })
  }
}

function checkHead(bytes: Uint8Array): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (bytes.length < 8 || view.getUint32(0, true) !== MAGIC) throw FnError.of("INVALID_ARTIFACT", "the file is no WebAssembly module")
  const version = view.getUint32(4, true)
  if (version !== CORE_VERSION)
    throw FnError.of("INVALID_ARTIFACT", "the file is a WebAssembly component, not a module: build it for wasm32-wasip1 (WASI preview 1)")
}

interface Section {
  readonly id: number
  readonly startsAt: number
  readonly contentsAt: number
  readonly end: number
}

function sectionsOf(bytes: Uint8Array): Section[] {
  const sections: Section[] = []
  for (let at = 8; at < bytes.length; ) {
    const startsAt = at
    const [size, contentsAt] = readNumber(bytes, at + 1)
    at = contentsAt + size
    if (at > bytes.length) throw cutShort()
    sections.push({ id: bytes[startsAt] as number, startsAt, contentsAt, end: at })
  }
  return sections
}

/** The memory section with one memory, whose maximum is `maxPages` at most. */
function cappedSection(contents: Uint8Array, maxPages: number, memoryMb: number): Uint8Array {
  const [count, countEnd] = readNumber(contents, 0)
  if (count !== 1) throw unfit(`it has ${count} memories; one is what can be bounded`)
  const flags = contents[countEnd]
  if (flags === undefined) throw cutShort()
  if ((flags & ~HAS_MAXIMUM) !== 0) throw unfit("its memory is shared or has 64-bit addresses")
  const [initial, initialEnd] = readNumber(contents, countEnd + 1)
  const declared = flags === HAS_MAXIMUM ? readNumber(contents, initialEnd)[0] : maxPages
  if (initial > maxPages) {
    const needed = Math.ceil((initial * PAGE_BYTES) / 1024 / 1024)
    throw FnError.of("MEMORY_LIMIT", `the module begins with ${needed} MB of memory, and memoryMb is ${memoryMb}`, { retryable: false })
  }
  const limits = Uint8Array.from([1, HAS_MAXIMUM, ...writeNumber(initial), ...writeNumber(Math.min(declared, maxPages))])
  return Uint8Array.from([MEMORY_SECTION, ...writeNumber(limits.length), ...limits])
}

/** An unsigned number in LEB128, and where it ends. */
function readNumber(bytes: Uint8Array, from: number): [value: number, end: number] {
  let value = 0
  for (let at = from, weight = 1; at < from + 5; at++, weight *= 128) {
    const byte = bytes[at]
    if (byte === undefined) throw cutShort()
    value += (byte & 0x7f) * weight
    if (byte < 0x80) return [value, at + 1]
  }
  throw FnError.of("INVALID_ARTIFACT", "the WebAssembly module is damaged: a number in it has no end")
}

function writeNumber(value: number): number[] {
  const bytes: number[] = []
  for (let left = value; ; ) {
    const low = left % 128
    left = Math.floor(left / 128)
    if (left === 0) return [...bytes, low]
    bytes.push(low | 0x80)
  }
}

function concat(pieces: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(pieces.reduce((length, piece) => length + piece.length, 0))
  let at = 0
  for (const piece of pieces) {
    whole.set(piece, at)
    at += piece.length
  }
  return whole
}

function cutShort(): FnError {
  return FnError.of("INVALID_ARTIFACT", "the WebAssembly module is cut short")
}

function unfit(why: string): FnError {
  return FnError.of("LOAD_FAILED", `the WebAssembly module cannot run here: ${why}`)
}
