import { setTimeout as delay } from "node:timers/promises"

/** What {@link until} waits for. */
export interface UntilOptions {
  /** Completes "waited 5000 ms for …". */
  readonly name: string
  /** Default 5000. */
  readonly timeoutMs?: number
}

const LOOK_EVERY_MS = 5

/** Resolves with what `condition` gives once that is truthy. Rejects with the name of what was waited for; what `condition` throws counts as not yet. */
export async function until<T>(
  condition: () => T | Promise<T>,
  options: UntilOptions,
): Promise<Exclude<T, false | 0 | "" | null | undefined>> {
  const timeoutMs = options.timeoutMs ?? 5_000
  const end = performance.now() + timeoutMs
  let last: unknown
  for (;;) {
    try {
      const value = await condition()
      if (value) return value as Exclude<T, false | 0 | "" | null | undefined>
      last = undefined
    } catch (thrown) {
      last = thrown
    }
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for ${options.name}`, { cause: last })
    await delay(LOOK_EVERY_MS)
  }
}
