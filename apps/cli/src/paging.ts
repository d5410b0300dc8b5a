import type { Flags } from "./connection.js"
import type { Output } from "./output.js"

/** Items of a page where `--limit` is not given. */
export const DEFAULT_LIMIT = 50

/** One page, as the client gives it. */
interface Page {
  readonly hasMore: boolean
  readonly startAfter?: string
}

/** Asks for pages, as `--limit` and `--start-after` say, until there are enough items or no more: a page may be short although there is more. */
export async function fillPage<P extends Page, Item>(
  flags: Flags,
  ask: (page: { limit: number; startAfter: string | undefined }) => Promise<P>,
  itemsOf: (page: P) => readonly Item[],
): Promise<{ items: Item[]; hasMore: boolean; startAfter?: string }> {
  const { limit = DEFAULT_LIMIT } = flags as { limit?: number }
  const items: Item[] = []
  let startAfter = flags.startAfter as string | undefined
  for (;;) {
    const page = await ask({ limit: limit - items.length, startAfter })
    items.push(...itemsOf(page))
    startAfter = page.startAfter
    if (!page.hasMore || startAfter === undefined) return { items, hasMore: false }
    if (items.length >= limit) return { items, hasMore: true, startAfter }
  }
}

/** Tells a person how to see more. */
export function noteMore(out: Output, startAfter: string | undefined): void {
  if (startAfter !== undefined && !out.json) out.note(out.noteStyle.dim(`there are more: --start-after ${startAfter}`))
}
