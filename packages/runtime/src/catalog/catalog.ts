/**
 * What this host knows of all functions: which it serves, which it does not and why, which records it cannot read.
 *
 * Fed by the registry's watch and by single re-reads (a caller that knows a newer revision). A revision is never applied twice or backwards.
 */
import type { FnError, FunctionRef } from "@fn/core"
import type { FunctionChange, FunctionRecord, Registry } from "@fn/registry"
import { HostedFunction } from "../dispatch/hosted-function.js"

/** What the host does with what the catalog finds. */
export interface CatalogOptions {
  readonly registry: Registry
  /** Why this host cannot run the function; undefined when it can. */
  readonly refusal: (record: FunctionRecord) => FnError | undefined
  /** Resolves once {@link refusal} knows what to say of it; undefined if it knows. */
  readonly untilKnown: (record: FunctionRecord) => Promise<unknown> | undefined
  /** The function is served from now on. */
  readonly onServe: (fn: HostedFunction) => void
  /** Its record changed; `before` is what it was. */
  readonly onUpdate: (fn: HostedFunction, before: FunctionRecord) => void
  /** The function is served no longer. */
  readonly onUnserve: (fn: HostedFunction) => void
}

/** A function this host knows but does not serve. */
export interface UnservedFunction {
  readonly record: FunctionRecord
  readonly revision: number
  readonly error: FnError
}

interface Waiter {
  readonly revision: number
  resolve(): void
}

/** The functions of the platform as one host sees them. */
export class Catalog {
  readonly served: Map<string, HostedFunction> = new Map()
  readonly unserved: Map<string, UnservedFunction> = new Map()
  readonly problems: Map<string, FnError> = new Map()
  readonly #revisions = new Map<string, number>()
  readonly #waiters = new Map<string, Set<Waiter>>()
  readonly #options: CatalogOptions

  constructor(options: CatalogOptions) {
    this.#options = options
  }

  /** Reads everything, then follows it until `signal` aborts. Resolves when everything was read. */
  watch(signal: AbortSignal): Promise<void> {
    return this.#options.registry.watch({ onChange: (change) => this.apply(change), signal })
  }

  /** Reads one function anew: somebody knows more of it than we do. */
  async refresh(ref: FunctionRef): Promise<void> {
    const entry = await this.#options.registry.findFunction(ref)
    if (entry)
      this.apply({
        namespace: ref.namespace,
        name: ref.name,
        key: `f.${ref.namespace}.${ref.name}`,
        revision: entry.revision,
        record: entry.record,
      })
  }

  /** Whether there is such a function, served here or not. */
  knows(key: string): boolean {
    return this.served.has(key) || this.unserved.has(key)
  }

  /** The revision of the function's record this host acts on; 0 for one it has never seen. */
  revision(key: string): number {
    return this.#revisions.get(key) ?? 0
  }

  /** Resolves when `revision` of the function has been applied, or `signal` aborts. */
  async applied(key: string, revision: number, signal: AbortSignal): Promise<void> {
    if (this.revision(key) >= revision || signal.aborted) return
    const waiters = this.#waiters.get(key) ?? new Set()
    this.#waiters.set(key, waiters)
    await new Promise<void>((resolve) => {
      const waiter: Waiter = { revision, resolve }
      waiters.add(waiter)
      signal.addEventListener("abort", () => {
        waiters.delete(waiter)
        resolve()
      })
    })
  }

  /** Takes one change. */
  apply(change: FunctionChange): void {
    const key = `${change.namespace}/${change.name}`
    if (change.problem) this.problems.set(change.key, change.problem)
    else this.problems.delete(change.key)
    if (change.namespace === "" || change.revision <= this.revision(key)) return
    const unknown = change.record && this.#options.untilKnown(change.record)
    if (unknown) return void unknown.then(() => this.apply(change))
    this.#revisions.set(key, change.revision)
    this.#reconcile(key, change)
    this.#wake(key, change.revision)
  }

  #reconcile(key: string, change: FunctionChange): void {
    const { record, revision } = change
    const error = record ? this.#options.refusal(record) : undefined
    this.unserved.delete(key)
    if (!record || error) {
      this.#unserve(key)
      if (record && error) this.unserved.set(key, { record, revision, error })
      return
    }
    const fn = this.served.get(key)
    // Deleted and deployed again under another language is another subject: never an update.
    if (fn && fn.record.language === record.language) return this.#update(fn, record, revision)
    this.#unserve(key)
    const served = new HostedFunction(record, revision)
    this.served.set(key, served)
    this.#options.onServe(served)
  }

  #update(fn: HostedFunction, record: FunctionRecord, revision: number): void {
    const before = fn.record
    fn.record = record
    fn.revision = revision
    this.#options.onUpdate(fn, before)
  }

  #unserve(key: string): void {
    const fn = this.served.get(key)
    if (!fn) return
    this.served.delete(key)
    this.#options.onUnserve(fn)
  }

  #wake(key: string, revision: number): void {
    const waiters = this.#waiters.get(key)
    if (!waiters) return
    for (const waiter of waiters) {
      if (waiter.revision > revision) continue
      waiters.delete(waiter)
      waiter.resolve()
    }
    if (waiters.size === 0) this.#waiters.delete(key)
  }
}
