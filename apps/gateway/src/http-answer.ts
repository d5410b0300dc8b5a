/**
 * HTTP out: events in the CloudEvents HTTP binding, errors as problem details (RFC 9457).
 */
import type { ServerResponse } from "node:http"
import {
  BATCH_TYPE,
  CODES,
  encodeBatch,
  encodeHeaderValue,
  encodeStructured,
  type FnError,
  Header,
  headerText,
  REASONS,
  type Reason,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"

/** Content type of errors. */
export const PROBLEM_TYPE = "application/problem+json"

/** Statuses of reasons that HTTP tells apart better than their code does. */
const STATUS_OF_REASON: Readonly<Record<string, number>> = {
  PAYLOAD_TOO_LARGE: 413,
  METHOD_NOT_ALLOWED: 405,
  UNSUPPORTED_MEDIA_TYPE: 415,
  CANCELLED: 499,
}
const NOTHING = new Uint8Array(0)

/** How a caller wants events answered. */
export type AnswerMode = "binary" | "structured" | "batch"

/** Mode that an Accept header asks for; binary unless it names one of the event formats. */
export function answerMode(accept: string | undefined): AnswerMode {
  if (accept === undefined || !accept.includes("cloudevents")) return "binary"
  for (const range of accept.split(",")) {
    const type = range.split(";", 1)[0]?.trim().toLowerCase()
    if (type === STRUCTURED_TYPE) return "structured"
    if (type === BATCH_TYPE) return "batch"
  }
  return "binary"
}

/** Answers with a function's events: none 204, one in the mode asked for, several as a batch. */
export function answerEvents(res: ServerResponse, events: readonly WireEvent[], mode: AnswerMode, invocationId: string): void {
  const [first] = events
  if (first === undefined && mode !== "batch") {
    res.writeHead(204, [Header.invocationId, invocationId])
    res.end()
  } else if (events.length !== 1 || mode === "batch") {
    send(res, [Header.invocationId, invocationId, "content-type", BATCH_TYPE], Buffer.from(encodeBatch(events)))
  } else if (mode === "structured") {
    send(res, [Header.invocationId, invocationId, "content-type", STRUCTURED_TYPE], Buffer.from(encodeStructured(first as WireEvent)))
  } else {
    const { attributes, data } = first as WireEvent
    const headers = [Header.invocationId, invocationId]
    for (const name in attributes) {
      const value = attributes[name]
      if (value === undefined) continue
      // Content-Type is HTTP's own: it is not percent-encoded.
      if (name === "datacontenttype") headers.push("content-type", headerText(String(value), 1024))
      else headers.push(`ce-${name}`, typeof value === "string" ? encodeHeaderValue(value) : String(value))
    }
    send(res, headers, data ?? NOTHING)
  }
}

/** What {@link answerError} adds to an error. */
export interface ProblemExtras {
  readonly invocationId?: string
  /** Further header lines. */
  readonly headers?: readonly string[]
}

/** Answers with an error. */
export function answerError(res: ServerResponse, error: FnError, extras: ProblemExtras = {}): void {
  const body = Buffer.from(JSON.stringify(problemOf(error, extras.invocationId)))
  const headers = [
    "content-type",
    PROBLEM_TYPE,
    "content-length",
    String(body.length),
    "cache-control",
    "no-store",
    ...(extras.headers ?? []),
  ]
  if (extras.invocationId !== undefined) headers.push(Header.invocationId, extras.invocationId)
  if (error.retryAfterMs !== undefined) headers.push("retry-after", String(Math.ceil(error.retryAfterMs / 1000)))
  res.writeHead(statusOf(error), headers)
  res.end(body)
}

/** HTTP status of an error. */
export function statusOf(error: FnError): number {
  return STATUS_OF_REASON[error.reason] ?? CODES[error.code].http
}

/** The problem details of an error. `type` is a path of this gateway that explains the reason. */
export function problemOf(error: FnError, invocationId?: string): Record<string, unknown> {
  const { code, reason, message, ...rest } = error.toData()
  const known = isReason(reason)
  return {
    type: known ? `/errors/${reason}` : "about:blank",
    title: titleOf(reason),
    status: statusOf(error),
    detail: message,
    code,
    reason,
    ...(known ? { todo: REASONS[reason].todo } : {}),
    ...rest,
    ...(invocationId === undefined ? {} : { invocationId }),
  }
}

/** The page that a problem's `type` points to; undefined for a reason that is not the platform's. */
export function reasonPage(reason: string): string | undefined {
  if (!isReason(reason)) return undefined
  const { code, todo } = REASONS[reason]
  return `${reason}\n${titleOf(reason)} (${code}, HTTP ${STATUS_OF_REASON[reason] ?? CODES[code].http})\n\n${todo}\n`
}

/** `FUNCTION_NOT_FOUND` → `Function not found`. */
function titleOf(reason: string): string {
  const words = reason.toLowerCase().replaceAll("_", " ")
  return words.charAt(0).toUpperCase() + words.slice(1)
}

function isReason(reason: string): reason is Reason {
  return Object.hasOwn(REASONS, reason)
}

function send(res: ServerResponse, headers: string[], body: Uint8Array): void {
  headers.push("content-length", String(body.length))
  res.writeHead(200, headers)
  res.end(body)
}
