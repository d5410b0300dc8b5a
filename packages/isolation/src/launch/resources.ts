import { FnError, messageOf } from "@fn/core"

/** What a child holds of its host, given back in reverse order. */
export class Resources {
  readonly #releases: (() => void | Promise<void>)[] = []

  /** Has `release` run when everything is given back. */
  add(release: () => void | Promise<void>): void {
    this.#releases.push(release)
  }

  /** Gives everything back, even if something cannot be. @throws {FnError} INTERNAL naming what could not; what came before it stays taken */
  async release(): Promise<void> {
    const problems: unknown[] = []
    for (let release = this.#releases.pop(); release; release = this.#releases.pop()) {
      try {
        await release()
      } catch (thrown) {
        problems.push(thrown)
      }
    }
    if (problems.length > 0) throw FnError.of("INTERNAL", problems.map(messageOf).join("; "), { cause: problems[0] })
  }
}
