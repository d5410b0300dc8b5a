/** Reading a stream backwards, which JetStream does not: stretches of it, the last first, each read forwards. */
import { requestApi } from "./request.js"
import { openScan, type Scan, type ScanOptions } from "./scan.js"
import type { StoredMessage } from "./stored-message.js"

/** How {@link newestFirst} reads. */
export interface NewestFirstOptions extends ScanOptions {
  /** Only messages before this sequence. Default: all. */
  readonly before?: number | undefined
  /** How many are likely to be wanted. Up to four times as many are held at once. */
  readonly pageSize: number
}

/** Messages of one question where nobody knows how many there are. */
const BATCH = 16

/**
 * Messages of a stream from the newest to the oldest, stretch by stretch: each twice as long as the one before while it holds few, halved
 * while it holds too many. Cost on the server grows with the part of the stream that was looked at. What expires meanwhile is left out.
 * @throws {FnError} as {@link openScan}
 */
export async function* newestFirst(options: NewestFirstOptions): AsyncGenerator<StoredMessage> {
  const { first, last } = await bounds(options)
  const most = options.pageSize * 4
  let end = Math.min(options.before ?? last + 1, last + 1)
  let length = options.pageSize * 2
  // Messages that match and lie behind `end`, which every scan counts too.
  let behind = end > last ? 0 : await countFrom(options, end)
  while (end > first) {
    let from = Math.max(first, end - length)
    let scan = await openScan(options, from)
    while (scan.pending - behind > most && end - from > most) {
      await scan.close()
      length = Math.ceil((end - from) / 2)
      from = end - length
      scan = await openScan(options, from)
    }
    const found = await readUntil(scan, end, Math.max(BATCH, Math.min(scan.pending - behind, most)))
    behind = scan.pending
    if (found.length < options.pageSize) length *= 2
    end = from
    yield* found.reverse()
  }
}

/** Everything of a scan before sequence `end`, about `count` messages; closes it. */
async function readUntil(scan: Scan, end: number, count: number): Promise<StoredMessage[]> {
  const found: StoredMessage[] = []
  try {
    // The count is of an earlier moment: what was deleted since behind the end makes it too small.
    for (let batch = count; batch > 0; batch = BATCH) {
      const messages = await scan.read(batch)
      found.push(...messages.filter(({ seq }) => seq < end))
      const { seq = end } = messages.at(-1) ?? {}
      if (messages.length < batch || seq >= end - 1) break
    }
    return found
  } finally {
    await scan.close()
  }
}

async function countFrom(options: ScanOptions, from: number): Promise<number> {
  const scan = await openScan(options, from)
  await scan.close()
  return scan.pending
}

/** First and last sequence of a stream. An empty one ends before it begins. */
async function bounds({ inbox, stream, jsDomain, signal }: ScanOptions): Promise<{ first: number; last: number }> {
  const { state } = await requestApi<{ state: { messages: number; first_seq: number; last_seq: number } }>(inbox, `STREAM.INFO.${stream}`, {
    jsDomain,
    signal,
  })
  return { first: state.first_seq, last: state.messages === 0 ? state.first_seq - 1 : state.last_seq }
}
