/**
 * Is this JSON, and what is in its outermost object or array? Answered without building any of it.
 *
 * JSON.parse of 64 MB made by a stranger takes seconds and a gigabyte: `[{},{},…]` is twenty times as large in memory. Data passes through a
 * host as bytes, so all it needs to know is that they are JSON and where the attributes of an event are.
 */
import { isUtf8 } from "node:buffer"

/** From the first byte to behind the last. */
export type Range = readonly [start: number, end: number]

/** What a text is. */
export type JsonShape =
  | { readonly kind: "object"; readonly members: ReadonlyMap<string, Range>; readonly truncated: boolean }
  | { readonly kind: "array"; readonly elements: readonly Range[]; readonly truncated: boolean }
  | { readonly kind: "scalar" }
  | { readonly kind: "invalid"; readonly at: number; readonly why: string }

/** Nesting beyond this is refused: what comes after us may read it recursively. */
export const MAX_JSON_DEPTH = 200
/** Members and elements beyond these are validated, but not noted. */
const NOTED_MEMBERS = 100
const NOTED_ELEMENTS = 10_000

const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const COLON = 0x3a
const OPEN_OBJECT = 0x7b
const CLOSE_OBJECT = 0x7d
const OPEN_ARRAY = 0x5b
const CLOSE_ARRAY = 0x5d
const ESCAPES: ReadonlySet<number> = new Set(Buffer.from('"\\/bfnrt'))
const LITERALS = ["true", "false", "null"].map((word) => Buffer.from(word))

/** Reads `text`, which must hold one value and white space around it. */
export function shapeOfJson(text: Uint8Array): JsonShape {
  if (!isUtf8(text)) return { kind: "invalid", at: 0, why: "it is no UTF-8 text" }
  const walk = new Walk(text)
  try {
    return walk.read()
  } catch (thrown) {
    if (thrown instanceof Mistake) return { kind: "invalid", at: thrown.at, why: thrown.why }
    throw thrown
  }
}

/** Whether `text` is one JSON value. */
export function isJsonText(text: Uint8Array): boolean {
  return shapeOfJson(text).kind !== "invalid"
}

class Mistake extends Error {
  readonly at: number
  readonly why: string

  constructor(at: number, why: string) {
    super(why)
    this.at = at
    this.why = why
  }
}

class Walk {
  readonly #text: Uint8Array
  #at = 0
  /** Per level whether it is an object. */
  readonly #isObject: boolean[] = []
  readonly #members = new Map<string, Range>()
  readonly #elements: Range[] = []
  #truncated = false
  /** Member or element of the outermost container that is being read. */
  #key = ""
  #start = 0

  constructor(text: Uint8Array) {
    this.#text = text
  }

  read(): JsonShape {
    this.#skipSpace()
    const first = this.#peek()
    this.#readValue()
    while (this.#isObject.length > 0) this.#readNext()
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#mistake("something follows the value")
    if (first === OPEN_OBJECT) return { kind: "object", members: this.#members, truncated: this.#truncated }
    if (first === OPEN_ARRAY) return { kind: "array", elements: this.#elements, truncated: this.#truncated }
    return { kind: "scalar" }
  }

  /** Behind a value or the opening of a container: a comma and the next one, or the end of the container. */
  #readNext(): void {
    const isObject = this.#isObject[this.#isObject.length - 1] as boolean
    const closing = isObject ? CLOSE_OBJECT : CLOSE_ARRAY
    this.#skipSpace()
    if (this.#peek() === closing) return this.#close()
    if (this.#text[this.#at] !== COMMA)
      throw this.#mistake(isObject ? "neither , nor } after a member" : "neither , nor ] after an element")
    this.#at++
    this.#readItem(isObject)
  }

  #readItem(isObject: boolean): void {
    this.#skipSpace()
    const isOuter = this.#isObject.length === 1
    if (isObject) this.#readKey(isOuter)
    this.#skipSpace()
    if (isOuter) this.#start = this.#at
    this.#readValue()
  }

  #readKey(isOuter: boolean): void {
    const start = this.#at
    if (this.#peek() !== QUOTE) throw this.#mistake("a member needs a name in quotes")
    this.#skipString()
    if (isOuter) this.#key = this.#decodeKey(start)
    this.#skipSpace()
    if (this.#peek() !== COLON) throw this.#mistake("no : after a member's name")
    this.#at++
  }

  /** A scalar is read whole; of a container the opening, and its first item if it has one. */
  #readValue(): void {
    const first = this.#peek()
    if (first !== OPEN_OBJECT && first !== OPEN_ARRAY) {
      this.#skipScalar(first)
      this.#note()
      return
    }
    if (this.#isObject.length === MAX_JSON_DEPTH) throw this.#mistake(`it is nested more than ${MAX_JSON_DEPTH} deep`)
    const isObject = first === OPEN_OBJECT
    this.#isObject.push(isObject)
    this.#at++
    this.#skipSpace()
    if (this.#peek() === (isObject ? CLOSE_OBJECT : CLOSE_ARRAY)) this.#close()
    else this.#readItem(isObject) // a recursion as deep as the nesting, which is bounded
  }

  #close(): void {
    this.#isObject.pop()
    this.#at++
    this.#note()
  }

  /** A value has ended: if it is one of the outermost container's, its place is kept. */
  #note(): void {
    if (this.#isObject.length !== 1) return
    const range: Range = [this.#start, this.#at]
    if (this.#isObject[0]) {
      if (this.#members.size < NOTED_MEMBERS || this.#members.has(this.#key)) this.#members.set(this.#key, range)
      else this.#truncated = true
    } else if (this.#elements.length < NOTED_ELEMENTS) this.#elements.push(range)
    else this.#truncated = true
  }

  #decodeKey(start: number): string {
    const quoted = Buffer.from(this.#text.buffer, this.#text.byteOffset + start, this.#at - start).toString("utf8")
    return JSON.parse(quoted) as string
  }

  #skipScalar(first: number): void {
    if (first === QUOTE) return this.#skipString()
    if (first === 0x2d || isDigit(first)) return this.#skipNumber()
    for (const literal of LITERALS) {
      if (literal[0] !== first || !literal.every((byte, i) => this.#text[this.#at + i] === byte)) continue
      this.#at += literal.length
      return
    }
    throw this.#mistake("no JSON value begins so")
  }

  #skipString(): void {
    const text = this.#text
    for (let at = this.#at + 1; at < text.length; ) {
      const byte = text[at] as number
      if (byte === QUOTE) {
        this.#at = at + 1
        return
      }
      if (byte < 0x20) throw this.#mistake("a control character in a string", at)
      at += byte === BACKSLASH ? this.#escapeLength(at) : 1
    }
    throw this.#mistake("it is cut short", text.length)
  }

  #escapeLength(at: number): number {
    const kind = this.#text[at + 1] ?? 0
    if (ESCAPES.has(kind)) return 2
    if (kind === 0x75 && [2, 3, 4, 5].every((i) => isHexDigit(this.#text[at + i] ?? 0))) return 6
    throw this.#mistake("no such escape in a string", at)
  }

  #skipNumber(): void {
    if (this.#text[this.#at] === 0x2d) this.#at++
    if (this.#text[this.#at] === 0x30) this.#at++
    else this.#skipDigits()
    if (this.#text[this.#at] === 0x2e) {
      this.#at++
      this.#skipDigits()
    }
    if (this.#text[this.#at] === 0x65 || this.#text[this.#at] === 0x45) {
      this.#at++
      if (this.#text[this.#at] === 0x2b || this.#text[this.#at] === 0x2d) this.#at++
      this.#skipDigits()
    }
  }

  #skipDigits(): void {
    if (!isDigit(this.#text[this.#at] ?? 0)) throw this.#mistake("a number without digits")
    while (isDigit(this.#text[this.#at] ?? 0)) this.#at++
  }

  #skipSpace(): void {
    for (;;) {
      const byte = this.#text[this.#at]
      if (byte !== 0x20 && byte !== 0x0a && byte !== 0x0d && byte !== 0x09) return
      this.#at++
    }
  }

  #peek(): number {
    const byte = this.#text[this.#at]
    if (byte === undefined) throw this.#mistake("it is cut short")
    return byte
  }

  #mistake(why: string, at = this.#at): Mistake {
    return new Mistake(at, why)
  }
}

function isDigit(byte: number): boolean {
  return byte >= 0x30 && byte <= 0x39
}

function isHexDigit(byte: number): boolean {
  return isDigit(byte) || (byte >= 0x41 && byte <= 0x46) || (byte >= 0x61 && byte <= 0x66)
}
