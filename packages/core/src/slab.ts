/**
 * Things that come and go by the thousand every second, each under a small number that is given again once it is free.
 *
 * What a Map or a Set is not for: V8 makes a new table for every few dozen insertions, and each discarded table points to the one that took its
 * place. Once the collector of young objects has taken one of them for old, all that follow are kept, with everything that was in them. docs/adr/0014
 */
export class Slab<T extends object> {
  readonly #items: (T | undefined)[] = []
  readonly #free: number[] = []

  get size(): number {
    return this.#items.length - this.#free.length
  }

  /** Keeps `item` and gives its number: the smallest there is, or one that was free. */
  add(item: T): number {
    const at = this.#free.pop() ?? this.#items.length
    this.#items[at] = item
    return at
  }

  get(at: number): T | undefined {
    return this.#items[at]
  }

  /** Frees the number. Does nothing when nothing is kept under it. */
  delete(at: number): void {
    if (this.#items[at] === undefined) return
    this.#items[at] = undefined
    this.#free.push(at)
  }

  clear(): void {
    this.#items.length = 0
    this.#free.length = 0
  }

  /** What is kept, in no order that means anything. Items may be added and deleted meanwhile. */
  *[Symbol.iterator](): IterableIterator<T> {
    for (let at = 0; at < this.#items.length; at++) {
      const item = this.#items[at]
      if (item !== undefined) yield item
    }
  }
}
