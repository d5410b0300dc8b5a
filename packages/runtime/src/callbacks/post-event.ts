/** Posts an event in structured mode to an HTTP address. No redirects, no proxies, nothing kept open. */
import { request as requestHttp } from "node:http"
import { request as requestHttps } from "node:https"
import { FnError, messageOf, STRUCTURED_TYPE } from "@fn/core"
import { VERSION } from "../version.js"
import type { HttpPolicy } from "./http-policy.js"
import { errorOfStatus } from "./response-codes.js"

/** One post. */
export interface EventPost {
  readonly url: URL
  /** The event in the CloudEvents JSON format. */
  readonly body: Uint8Array
  /** The same for every attempt. */
  readonly idempotencyKey: string
  readonly policy: HttpPolicy
  readonly signal: AbortSignal
}

/** For everything: resolving, connecting, sending, the answer. */
const TIMEOUT_MS = 10_000
/** An answer's body is read so far, for the sake of receivers that write before they are done, and thrown away. */
const MAX_BODY_BYTES = 65_536

/**
 * Resolves when the receiver has taken it.
 * @throws {FnError} permission_denied CALLBACK_REFUSED; unavailable CALLBACK_FAILED, `retryable` if it may be tried again; CANCELLED
 */
export async function postEvent(post: EventPost): Promise<void> {
  post.policy.check(post.url)
  const timeout = AbortSignal.timeout(TIMEOUT_MS)
  let answer: { status: number; retryAfter: string | undefined }
  try {
    answer = await exchange(post, AbortSignal.any([timeout, post.signal]))
  } catch (thrown) {
    if (FnError.is(thrown)) throw thrown
    if (post.signal.aborted) throw FnError.of("CANCELLED", "the host is shutting down", { cause: thrown })
    const why = timeout.aborted ? `no answer within ${TIMEOUT_MS} ms` : messageOf(thrown)
    throw FnError.of("CALLBACK_FAILED", `the receiver was not reached: ${why}`, { retryable: true, cause: thrown })
  }
  const error = errorOfStatus(answer.status, answer.retryAfter)
  if (error) throw error
}

function exchange(post: EventPost, signal: AbortSignal): Promise<{ status: number; retryAfter: string | undefined }> {
  const { url, body, policy } = post
  return new Promise((resolve, reject) => {
    const send = url.protocol === "https:" ? requestHttps : requestHttp
    const request = send(url, {
      method: "POST",
      // Its own connection, through no proxy that the environment names.
      agent: false,
      lookup: policy.lookup,
      signal,
      headers: {
        "content-type": STRUCTURED_TYPE,
        "content-length": body.length,
        "idempotency-key": post.idempotencyKey,
        "user-agent": `fn/${VERSION}`,
      },
    })
    request.on("error", reject)
    request.on("response", (response) => {
      const { statusCode = 0, headers } = response
      const end = (): void => {
        resolve({ status: statusCode, retryAfter: headers["retry-after"] })
        request.destroy()
      }
      let sizeBytes = 0
      response.on("data", (chunk: Buffer) => {
        sizeBytes += chunk.length
        if (sizeBytes > MAX_BODY_BYTES) end()
      })
      // The status is the answer, whatever becomes of the body.
      response.on("end", end)
      response.on("error", end)
    })
    request.end(body)
  })
}
