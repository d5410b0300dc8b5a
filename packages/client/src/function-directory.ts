import { FnError, type FunctionRef, formatRef, Header, headerLine, type Subjects } from "@fn/core"
import type { FunctionEntry, Registry } from "@fn/registry"

/** What a call needs of its function's record. Changes in place when the record does. */
export interface KnownFunction {
  readonly namespace: string
  readonly name: string
  /** `namespace/name`. */
  readonly key: string
  language: string
  /** Subject of {@link language}. */
  subject: string
  /** KV revision of the record. */
  revision: number
  /** Header lines that are the same for every call until the record changes. */
  headerLines: string
  /** Invocations that may wait in its queue, where fewer than the stream takes. */
  maxPending: number | undefined
}

/** Functions followed at the same time. One costs a literal subscription and some 500 bytes; the least recently added goes first. */
const MAX_FOLLOWED = 4096

interface Followed {
  readonly fn: KnownFunction
  readonly unfollow: () => void
}

/**
 * The records of the functions a client calls: each is read on first use and then followed by its republish feed, so that a call costs no
 * read. What is not deployed is not remembered: a flood of wrong names leaves nothing behind.
 */
export class FunctionDirectory {
  readonly #registry: Registry
  readonly #subjects: Subjects
  readonly #followed = new Map<string, Followed>()
  readonly #reading = new Map<string, Promise<KnownFunction>>()
  #closed = false

  constructor(registry: Registry, subjects: Subjects) {
    this.#registry = registry
    this.#subjects = subjects
  }

  /** The function, if it is known already. No I/O. */
  peek(key: string): KnownFunction | undefined {
    return this.#followed.get(key)?.fn
  }

  /** The function, read if it has to be. @throws {FnError} not_found FUNCTION_NOT_FOUND, or why the registry cannot be read */
  find(ref: FunctionRef, key: string): Promise<KnownFunction> {
    const known = this.#followed.get(key)
    if (known) return Promise.resolve(known.fn)
    const reading = this.#reading.get(key)
    if (reading) return reading
    const started = this.#follow({ namespace: ref.namespace, name: ref.name }, key).finally(() => this.#reading.delete(key))
    this.#reading.set(key, started)
    return started
  }

  /** Reads the record anew, known or not. @throws {FnError} not_found FUNCTION_NOT_FOUND */
  async reread(ref: FunctionRef, key: string): Promise<KnownFunction> {
    const known = this.#followed.get(key)
    if (!known) return this.find(ref, key)
    const entry = await this.#registry.findFunction({ namespace: ref.namespace, name: ref.name })
    if (!entry) {
      this.#forget(key)
      throw notFound(ref)
    }
    this.#update(known.fn, entry)
    return known.fn
  }

  /** Stops following. */
  close(): void {
    this.#closed = true
    for (const key of [...this.#followed.keys()]) this.#forget(key)
  }

  async #follow(ref: FunctionRef, key: string): Promise<KnownFunction> {
    const entry = await this.#registry.findFunction(ref)
    if (!entry) throw notFound(ref)
    const fn: KnownFunction = {
      namespace: ref.namespace,
      name: ref.name,
      key,
      language: "",
      subject: "",
      revision: 0,
      headerLines: "",
      maxPending: undefined,
    }
    this.#update(fn, entry)
    if (this.#closed) return fn
    // The feed begins with the present record, so what changed since the read is not missed. A delete in between is: then NATS has no
    // responders for the next call, which makes it read anew.
    const unfollow = this.#registry.follow(ref, (change) => {
      if (change.record) this.#update(fn, { record: change.record, revision: change.revision })
      else if (!change.problem && this.#followed.get(key)?.fn === fn) this.#forget(key)
    })
    if (this.#followed.size >= MAX_FOLLOWED) this.#forget(this.#followed.keys().next().value as string)
    this.#followed.set(key, { fn, unfollow })
    return fn
  }

  #update(fn: KnownFunction, entry: FunctionEntry): void {
    if (entry.revision === fn.revision) return
    fn.revision = entry.revision
    fn.maxPending = entry.record.maxPending
    fn.headerLines = headerLine(Header.accept, "started payload-ref") + headerLine(Header.revision, entry.revision)
    if (entry.record.language === fn.language) return
    fn.language = entry.record.language
    fn.subject = this.#subjects.invoke(fn, fn.language)
  }

  #forget(key: string): void {
    this.#followed.get(key)?.unfollow()
    this.#followed.delete(key)
  }
}

/** `not_found FUNCTION_NOT_FOUND` for `ref`. */
export function notFound(ref: FunctionRef): FnError {
  const name = formatRef({ namespace: ref.namespace, name: ref.name })
  return FnError.of("FUNCTION_NOT_FOUND", `no function ${name} is deployed (fn list shows what is)`, { details: { function: name } })
}
