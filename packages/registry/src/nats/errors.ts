import { FnError, type Reason } from "@fn/core"
import { fromNatsError } from "@fn/nats"
import { JetStreamApiError } from "@nats-io/jetstream"

/** https://github.com/nats-io/nats-server/blob/main/server/errors.json */
const STREAM_NOT_FOUND = 10059
const UPDATE_REFUSED = 10052
const SUBJECTS_OVERLAP = 10065
const WRONG_LAST_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164])
const JETSTREAM_OFF: ReadonlySet<number> = new Set([10039, 10076])
const STORAGE_FULL: ReadonlySet<number> = new Set([10023, 10028, 10047, 10077])

/** What the NATS client threw while it did `attempted`, as an error of ours. */
export function registryError(thrown: unknown, attempted: string): FnError {
  if (FnError.is(thrown)) return thrown
  if (thrown instanceof JetStreamApiError) {
    return FnError.of(reasonOfCode(thrown.code), `${attempted}: ${thrown.message}`, { cause: thrown })
  }
  // Says no more than that nobody answered, which is so while a stream has no leader too.
  if (isNotAnswered(thrown)) return FnError.of("REGISTRY_TIMEOUT", `${attempted}: JetStream does not answer`, { cause: thrown })
  const error = fromNatsError(thrown, attempted)
  return error.reason === "DEADLINE_EXCEEDED" ? FnError.of("REGISTRY_TIMEOUT", error.message, { cause: thrown }) : error
}

/** Whether a conditional write failed because the key had moved on. */
export function isConflict(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && WRONG_LAST_SEQUENCE.has(thrown.code)
}

/** Whether a stream or bucket does not exist. */
export function isStreamNotFound(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && thrown.code === STREAM_NOT_FOUND
}

/** Whether the server refuses to change such a setting of a stream that exists. */
export function isUnchangeable(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && thrown.code === UPDATE_REFUSED
}

/** Whether another stream takes the subjects of a stream that was to be made or changed. */
export function isOverlap(thrown: unknown): boolean {
  return thrown instanceof JetStreamApiError && thrown.code === SUBJECTS_OVERLAP
}

/** Whether nothing listens on JetStream's subjects. */
export function isNotAnswered(thrown: unknown): boolean {
  return thrown instanceof Error && thrown.name === "JetStreamNotEnabled"
}

/** Settles as `work` does, or rejects with REGISTRY_TIMEOUT after `timeoutMs`: some reads of the client never end when a consumer dies. */
export async function withTimeout<T>(work: Promise<T>, timeoutMs: number, attempted: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(FnError.of("REGISTRY_TIMEOUT", `${attempted}: no answer within ${timeoutMs} ms`)), timeoutMs)
  })
  try {
    return await Promise.race([work, timeout])
  } catch (thrown) {
    throw registryError(thrown, attempted)
  } finally {
    clearTimeout(timer)
  }
}

function reasonOfCode(code: number): Reason {
  if (code === STREAM_NOT_FOUND) return "NOT_SET_UP"
  if (JETSTREAM_OFF.has(code)) return "JETSTREAM_OFF"
  if (STORAGE_FULL.has(code)) return "STORAGE_FULL"
  return "REGISTRY_TIMEOUT"
}
