/** Pages of what a stream holds, from the newest. Their bounds are sequences, which nobody has to know: `startAfter` is opaque. */
import { FnError } from "@fn/core"
import type { StoredMessage } from "@fn/nats"

/** Which page. */
export interface PageOptions {
  /** 1 to 1000. Default 50. */
  readonly limit?: number | undefined
  /** What the page before gave. */
  readonly startAfter?: string | undefined
  readonly signal?: AbortSignal | undefined
}

/** A page. */
export interface Page<Item> {
  readonly items: Item[]
  readonly hasMore: boolean
  /** Where the next page starts; absent when there is none. */
  readonly startAfter?: string
}

const DEFAULT_LIMIT = 50
const MAX_LIMIT = 1_000
/** Messages looked at for one page, where a filter lets few of them through. */
const MAX_SCANNED = 20_000
const CURSOR = /^[A-Za-z0-9_-]{1,32}$/

/** The sequence before which a page starts. @throws {FnError} invalid_argument INVALID_REQUEST */
export function sequenceOf(startAfter: string | undefined): number | undefined {
  if (startAfter === undefined) return undefined
  const text = CURSOR.test(startAfter) ? Buffer.from(startAfter, "base64url").toString("latin1") : ""
  const seq = Number(text)
  if (/^[1-9][0-9]*$/.test(text) && Number.isSafeInteger(seq)) return seq
  throw FnError.of("INVALID_REQUEST", `startAfter must be what an earlier page gave, not ${JSON.stringify(startAfter)}`)
}

/**
 * Fills a page with what `read` makes of the messages of `open`; what it gives undefined for is left out. A page may be short although there
 * is more, when very much had to be left out.
 * @throws {FnError} invalid_argument INVALID_REQUEST; what reading throws
 */
export async function pageOf<Item>(
  options: PageOptions,
  open: (pageSize: number) => AsyncGenerator<StoredMessage>,
  read: (message: StoredMessage) => Item | undefined,
): Promise<Page<Item>> {
  const limit = limitOf(options.limit)
  const items: Item[] = []
  let scanned = 0
  let last = 0
  // One more than asked for tells whether there is more.
  for await (const message of open(limit + 1)) {
    const item = read(message)
    if (item !== undefined && items.length === limit) return more(items, last)
    last = message.seq
    if (item !== undefined) items.push(item)
    if (++scanned >= MAX_SCANNED) return more(items, last)
  }
  return { items, hasMore: false }
}

function more<Item>(items: Item[], last: number): Page<Item> {
  return { items, hasMore: true, startAfter: Buffer.from(String(last), "latin1").toString("base64url") }
}

function limitOf(limit: number = DEFAULT_LIMIT): number {
  if (Number.isInteger(limit) && limit >= 1 && limit <= MAX_LIMIT) return limit
  throw FnError.of("INVALID_REQUEST", `limit must be a whole number from 1 to ${MAX_LIMIT}, not ${String(limit)}`)
}
