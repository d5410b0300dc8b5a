/** Calls of JetStream's API that have no function of their own here. https://docs.nats.io/reference/reference-protocols/nats_api_reference */
import { FnError, messageOf } from "@fn/core"
import type { RawMsg } from "../inbox/raw.js"
import type { ReplyInbox } from "../inbox/reply-inbox.js"
import { type ApiError, apiSubject, errorFromApi } from "./api.js"

/** One call of the API. */
export interface ApiRequestOptions {
  /** Written as JSON; nothing by default. */
  readonly body?: unknown
  readonly jsDomain?: string | undefined
  /** Default 5000. */
  readonly timeoutMs?: number
  readonly signal?: AbortSignal | undefined
}

const DEFAULT_TIMEOUT_MS = 5_000

/**
 * Asks JetStream, for example `STREAM.INFO.FUNCTION_QUEUE`, and resolves with what it says.
 * @throws {FnError} as errorFromApi where it refuses; unavailable JETSTREAM_UNAVAILABLE (nobody answers: JetStream is off, or no leader now),
 *   DISCONNECTED; NATS_PERMISSION; deadline_exceeded; cancelled
 */
export async function requestApi<Answer extends object>(inbox: ReplyInbox, call: string, options: ApiRequestOptions = {}): Promise<Answer> {
  const { body, jsDomain, timeoutMs, signal } = options
  let reply: RawMsg
  try {
    reply = await inbox.request(apiSubject(call, jsDomain), {
      data: body === undefined ? undefined : JSON.stringify(body),
      timeoutMs: timeoutMs ?? DEFAULT_TIMEOUT_MS,
      signal,
    })
  } catch (thrown) {
    const error = FnError.from(thrown)
    if (error.reason !== "NO_HOST") throw error
    throw FnError.of("JETSTREAM_UNAVAILABLE", `JetStream does not answer ${call}`, { cause: error })
  }
  let answer: Answer & { readonly error?: ApiError }
  try {
    answer = JSON.parse(Buffer.from(reply.data).toString("utf8")) as typeof answer
    if (typeof answer !== "object" || answer === null) throw new TypeError("no object")
  } catch (thrown) {
    throw FnError.of("JETSTREAM_UNAVAILABLE", `what answers ${call} is not JetStream: ${messageOf(thrown)}`)
  }
  if (answer.error) throw errorFromApi(answer.error, call)
  return answer
}
