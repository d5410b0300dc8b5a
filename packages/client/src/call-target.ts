import { type FunctionRef, formatRef, Header, headerLine, parseRef } from "@fn/core"
import type { RefInput } from "./options.js"

/** The function a call is for, parsed once per text. */
export interface CallTarget {
  readonly ref: FunctionRef
  /** `namespace/name`. */
  readonly key: string
  /** `Fn-Version` line, or nothing. */
  readonly versionLine: string
}

/** Ref texts remembered as parsed. They come from code or URLs; the map must not grow with made-up names. */
const MAX_TARGETS = 4096

/** Parses what callers name. */
export class CallTargets {
  readonly #known = new Map<string, CallTarget>()

  /** @throws {FnError} invalid_argument INVALID_NAME, INVALID_VERSION */
  of(ref: RefInput, version: string | undefined): CallTarget {
    let text = typeof ref === "string" ? ref : formatRef(ref)
    if (version !== undefined) text = `${text.includes("@") ? text.slice(0, text.indexOf("@")) : text}@${version}`
    const known = this.#known.get(text)
    if (known) return known
    const parsed = parseRef(text)
    const target = {
      ref: parsed,
      key: `${parsed.namespace}/${parsed.name}`,
      versionLine: parsed.version === undefined ? "" : headerLine(Header.version, parsed.version),
    }
    if (this.#known.size >= MAX_TARGETS) this.#known.clear()
    this.#known.set(text, target)
    return target
  }
}
