import { FnError } from "@fn/core"

/** Error codes of JetStream's API that mean something to us. https://github.com/nats-io/nats-server/blob/main/server/errors.json */
export const JsCode = {
  systemUnavailable: 10008,
  consumerNotFound: 10014,
  noMessage: 10037,
  /** What deleting a message that is not there says. */
  sequenceNotFound: 10043,
  deleteFailed: 10057,
  streamNotFound: 10059,
  consumerExists: 10148,
  duplicateInProcess: 10158,
} as const

const WRONG_LAST_SEQUENCE: ReadonlySet<number> = new Set([10071, 10164])
const FULL: ReadonlySet<number> = new Set([10023, 10028, 10047, 10077])
const OFF: ReadonlySet<number> = new Set([10039, 10076])
const TOO_LARGE = 10054
const TOO_MANY_REQUESTS = 10167
const PASSING: ReadonlySet<number> = new Set([JsCode.systemUnavailable, JsCode.duplicateInProcess, TOO_MANY_REQUESTS])

/** The subject of a call of JetStream's API, in a domain if there is one. */
export function apiSubject(call: string, jsDomain?: string): string {
  return jsDomain === undefined ? `$JS.API.${call}` : `$JS.${jsDomain}.API.${call}`
}

/** What JetStream answers when it refuses. */
export interface ApiError {
  readonly code: number
  readonly err_code?: number
  readonly description?: string
}

/** An error of JetStream's API as one of ours; `details.errCode` is the server's number, `details.status` its kind as in HTTP. */
export function errorFromApi(error: ApiError, attempted: string): FnError {
  const errCode = error.err_code ?? 0
  const message = `${attempted}: ${error.description ?? `JetStream error ${errCode}`}`
  return FnError.of(reasonOf(errCode), message, { details: { errCode, status: error.code } })
}

/** Whether a refusal of the server will pass by itself within seconds. */
export function isPassing(error: FnError): boolean {
  if (error.reason !== "JETSTREAM_UNAVAILABLE") return false
  const { status, errCode } = error.details ?? {}
  // Without a status nobody answered. What the server calls the question's own fault stays so.
  return status === undefined || Number(status) >= 500 || PASSING.has(Number(errCode))
}

function reasonOf(
  errCode: number,
): "STALE_REVISION" | "STORAGE_FULL" | "JETSTREAM_OFF" | "NOT_SET_UP" | "PAYLOAD_TOO_LARGE" | "JETSTREAM_UNAVAILABLE" {
  if (WRONG_LAST_SEQUENCE.has(errCode)) return "STALE_REVISION"
  if (FULL.has(errCode)) return "STORAGE_FULL"
  if (OFF.has(errCode)) return "JETSTREAM_OFF"
  if (errCode === JsCode.streamNotFound) return "NOT_SET_UP"
  return errCode === TOO_LARGE ? "PAYLOAD_TOO_LARGE" : "JETSTREAM_UNAVAILABLE"
}
