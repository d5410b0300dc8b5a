/** Invocations that are answered before they have run: where their result will be, the result itself, and their end. */
import type { ServerResponse } from "node:http"
import type { Client } from "@fn/client"
import { FnError, Header, parseRef, type WireEvent } from "@fn/core"
import type { RequestHead } from "./http-event.js"
import { type Route, resultPath } from "./routes.js"

/** Longest time that one request waits for a result, s: less than load balancers give a request. */
const MAX_WAIT_S = 50
const RETRY_AFTER_S = 1

/** Stores an invocation and answers 202 with where its result will be. @throws {FnError} as the client's `invokeAsync` */
export async function storeCall(client: Client, res: ServerResponse, ref: string, event: WireEvent, head: RequestHead): Promise<void> {
  const { namespace } = parseRef(ref)
  const { timeoutMs, idempotencyKey } = head
  const id = await client.invokeAsyncWire(ref, event, { timeoutMs, idempotencyKey })
  const location = ["location", resultPath(namespace, id), "preference-applied", "respond-async"]
  answerJson(res, 202, { invocationId: id, namespace }, [Header.invocationId, id, ...location])
}

/** The result of a `GET`, its events; undefined when 202 was answered: it is pending. @throws {FnError} what it failed with; EXECUTION_NOT_FOUND */
export async function findResult(
  client: Client,
  res: ServerResponse,
  { namespace, id, query }: Extract<Route, { kind: "result" }>,
): Promise<WireEvent[] | undefined> {
  const waitS = waitOf(query)
  const gone = new AbortController()
  res.once("close", () => gone.abort(FnError.of("CANCELLED", "the HTTP client went away")))
  const { signal } = gone
  if (waitS > 0) {
    try {
      return await client.resultWire(id, { namespace, timeoutMs: waitS * 1_000, signal })
    } catch (thrown) {
      if (FnError.from(thrown).details?.pending !== true) throw thrown
    }
  }
  const { status } = await client.status(id, { namespace, signal })
  if (status !== "pending" && status !== "running") return client.resultWire(id, { namespace, signal })
  answerJson(res, 202, { invocationId: id, namespace, status }, [Header.invocationId, id, "retry-after", String(RETRY_AFTER_S)])
  return undefined
}

/** Cancels an invocation and says what became of it. @throws {FnError} as the client's `cancel` */
export async function cancelCall(client: Client, res: ServerResponse, namespace: string, id: string): Promise<void> {
  const outcome = await client.cancel(id, { namespace })
  answerJson(res, outcome.status === "pending" ? 202 : 200, { ...outcome, namespace }, [Header.invocationId, id])
}

/** `?wait=`, in seconds. @throws {FnError} invalid_argument INVALID_REQUEST */
function waitOf(query: string): number {
  const text = query === "" ? null : new URLSearchParams(query).get("wait")
  if (text === null) return 0
  const waitS = Number(text)
  if (text.trim() !== "" && waitS >= 0 && waitS <= MAX_WAIT_S) return waitS
  throw FnError.of("INVALID_REQUEST", `wait is a number of seconds from 0 to ${MAX_WAIT_S}, not ${JSON.stringify(text)}`)
}

function answerJson(res: ServerResponse, status: number, value: unknown, headers: readonly string[]): void {
  const body = Buffer.from(`${JSON.stringify(value)}\n`)
  const own = ["content-type", "application/json", "content-length", String(body.length), "cache-control", "no-store"]
  res.writeHead(status, [...own, ...headers])
  res.end(body)
}
