/**
 * HTTP in: from a request to the event a function gets. The CloudEvents HTTP binding in binary and structured mode, or any payload at all,
 * which becomes the data of an event that is filled in. Data stays bytes.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
 */
import {
  BATCH_TYPE,
  bareEvent,
  checkAttributes,
  decodeHeaderValue,
  decodeStructured,
  FnError,
  invalidEvent,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"

/** Type of the event around a payload that came without one, unless `?type=` names another. */
export const REQUEST_EVENT_TYPE = "com.fn.http.request"
/** Source of such an event. */
export const REQUEST_EVENT_SOURCE = "/fn/gateway"

/** What the gateway reads of a request's headers: nothing else is looked at. */
export interface RequestHead {
  /** Attributes of the `ce-` headers; undefined without any. */
  readonly attributes: Record<string, unknown> | undefined
  readonly contentType: string | undefined
  readonly contentEncoding: string | undefined
  /** Undefined when the body is chunked, or there is none. */
  readonly contentLength: number | undefined
  readonly accept: string | undefined
  readonly timeoutMs: number | undefined
  readonly idempotencyKey: string | undefined
  /** `Prefer: respond-async` (RFC 7240): the answer is where the result will be. */
  readonly respondAsync: boolean
}

/**
 * Walks a request's header list (name, value, name, value …) once.
 * @throws {FnError} invalid_argument INVALID_EVENT for a bad `ce-` header, INVALID_REQUEST for a bad `Fn-Timeout-Ms`
 */
export function readHead(rawHeaders: readonly string[]): RequestHead {
  let attributes: Record<string, unknown> | undefined
  let contentType: string | undefined
  let contentEncoding: string | undefined
  let contentLength: number | undefined
  let accept: string | undefined
  let timeoutMs: number | undefined
  let idempotencyKey: string | undefined
  let respondAsync = false
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = (rawHeaders[at] as string).toLowerCase()
    const value = rawHeaders[at + 1] as string
    switch (name.charCodeAt(0)) {
      case 97: // a
        if (name === "accept") accept = accept === undefined ? value : `${accept},${value}`
        break
      case 99: // c
        if (name.startsWith("ce-")) {
          attributes ??= {}
          addAttribute(attributes, name.slice(3), value)
        } else if (name === "content-type") contentType = value || undefined
        else if (name === "content-length") contentLength = Number(value)
        else if (name === "content-encoding") contentEncoding = value.toLowerCase()
        break
      case 102: // f
        if (name === "fn-timeout-ms") timeoutMs = timeoutOf(value)
        break
      case 105: // i
        if (name === "idempotency-key") idempotencyKey = unquoted(value)
        break
      case 112: // p
        if (name === "prefer") respondAsync ||= /(?:^|[,;])\s*respond-async\s*(?:$|[,;])/i.test(value)
        break
    }
  }
  return { attributes, contentType, contentEncoding, contentLength, accept, timeoutMs, idempotencyKey, respondAsync }
}

/**
 * The event of a request. `type` is the query's, for a bare payload.
 * @throws {FnError} invalid_argument INVALID_EVENT, INVALID_REQUEST for a batch, UNSUPPORTED_MEDIA_TYPE
 */
export function eventOf(head: RequestHead, body: Uint8Array, type: string | undefined): WireEvent {
  if (head.contentEncoding !== undefined && head.contentEncoding !== "identity")
    throw FnError.of("UNSUPPORTED_MEDIA_TYPE", `content-encoding ${head.contentEncoding} is not supported: send the body as it is`)
  const mediaType = mediaTypeOf(head.contentType)
  if (mediaType.startsWith("application/cloudevents")) return formattedEvent(mediaType, body)
  if (head.attributes) return binaryEvent(head.attributes, head.contentType, body)
  if (type === "") throw FnError.of("INVALID_REQUEST", "the query's type is empty")
  return bareEvent(body, isJsonSentAsForm(mediaType, body) ? "application/json" : head.contentType, {
    source: REQUEST_EVENT_SOURCE,
    type: type ?? REQUEST_EVENT_TYPE,
  })
}

/** Media type without parameters, in lower case; empty without any. */
export function mediaTypeOf(contentType: string | undefined): string {
  if (contentType === undefined) return ""
  const end = contentType.indexOf(";")
  return (end < 0 ? contentType : contentType.slice(0, end)).trim().toLowerCase()
}

function addAttribute(attributes: Record<string, unknown>, name: string, value: string): void {
  if (name in attributes) throw invalidEvent(name, "its header came twice")
  if (name === "datacontenttype") throw invalidEvent(name, "over HTTP it is the Content-Type header")
  attributes[name] = decodeHeaderValue(value, name)
}

function formattedEvent(mediaType: string, body: Uint8Array): WireEvent {
  if (mediaType === STRUCTURED_TYPE) return decodeStructured(body)
  if (mediaType === BATCH_TYPE)
    throw FnError.of("INVALID_REQUEST", "a function takes one event: send the events of a batch one by one, in parallel if you like")
  throw FnError.of("UNSUPPORTED_MEDIA_TYPE", `the event format ${mediaType} is not supported: send ${STRUCTURED_TYPE} or binary mode`)
}

function binaryEvent(attributes: Record<string, unknown>, contentType: string | undefined, body: Uint8Array): WireEvent {
  if (contentType !== undefined) attributes.datacontenttype = contentType
  return { attributes: checkAttributes(attributes), data: body.length === 0 ? undefined : body }
}

/** `curl -d '{"a":1}'` calls everything a form. A form never begins like a JSON object or array. */
function isJsonSentAsForm(mediaType: string, body: Uint8Array): boolean {
  if (mediaType !== "application/x-www-form-urlencoded") return false
  const first = body[0]
  return first === 0x7b || first === 0x5b
}

/** The key with or without the quotes of a structured field. */
function unquoted(value: string): string {
  return value.length > 1 && value.startsWith('"') && value.endsWith('"') ? value.slice(1, -1) : value
}

function timeoutOf(value: string): number {
  const timeoutMs = Number(value)
  if (Number.isFinite(timeoutMs) && timeoutMs > 0) return timeoutMs
  throw FnError.of("INVALID_REQUEST", `Fn-Timeout-Ms must be a positive number of milliseconds, not ${JSON.stringify(value)}`)
}
