import { Slab } from "./slab.js"

/**
 * A Map for values that come and go by the thousand every second. Its tables hold keys and small numbers, the values lie in a {@link Slab}: what a
 * discarded table keeps alive (see slab.ts) is not worth mentioning then. In order of insertion, as a Map.
 */
export class SlabMap<K, V extends object> {
  readonly #numbers = new Map<K, number>()
  readonly #values = new Slab<V>()

  get size(): number {
    return this.#numbers.size
  }

  has(key: K): boolean {
    return this.#numbers.has(key)
  }

  get(key: K): V | undefined {
    const at = this.#numbers.get(key)
    return at === undefined ? undefined : this.#values.get(at)
  }

  set(key: K, value: V): void {
    const before = this.#numbers.get(key)
    if (before !== undefined) this.#values.delete(before)
    this.#numbers.set(key, this.#values.add(value))
  }

  /** Whether there was one. */
  delete(key: K): boolean {
    const at = this.#numbers.get(key)
    if (at === undefined) return false
    this.#numbers.delete(key)
    this.#values.delete(at)
    return true
  }

  clear(): void {
    this.#numbers.clear()
    this.#values.clear()
  }

  *keys(): IterableIterator<K> {
    yield* this.#numbers.keys()
  }

  *values(): IterableIterator<V> {
    for (const at of this.#numbers.values()) yield this.#values.get(at) as V
  }
}
