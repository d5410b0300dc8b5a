/** The delivery of a result to a callback, as a message of the queue: the result's own header lines and body, and where it goes. */
import {
  BATCH_TYPE,
  BinaryEventReader,
  encodeStructured,
  errorFromReply,
  FnError,
  type FunctionRef,
  Header,
  headerBlock,
  headerLine,
  headerText,
  isId,
  parseRef,
  readHeaderBlock,
  type WireEvent,
} from "@fn/core"
import { statusOf } from "../records/status-of.js"
import type { CallbackRequest } from "./callback-sender.js"
import { MAX_CALLBACK_CHARS } from "./callback-target.js"

/** What the headers of a delivery say. */
export interface CallbackMessage {
  readonly ref: FunctionRef
  readonly invocationId: string
  readonly callback: string
  readonly hops: number
  readonly version: string | undefined
  readonly attempts: number
  /** Where the result's body is, if it is stored apart. */
  readonly payloadRef: string | undefined
  /** Headers of the result, by name. */
  readonly headers: ReadonlyMap<string, string>
}

/** Header lines of a delivery. */
export function callbackLines({ ref, invocationId, callback, hops, result }: CallbackRequest): string {
  let lines =
    headerLine("Nats-Msg-Id", `${ref.namespace}.${invocationId}:callback`) +
    headerLine(Header.fn, `${ref.namespace}/${ref.name}`) +
    headerLine(Header.invocationId, invocationId) +
    headerLine(Header.callback, callbackText(callback))
  if (hops > 0) lines += headerLine(Header.hops, hops)
  readHeaderBlock(headerBlock(result.lines), (name, value) => {
    // What servers act on was meant for the result's own message.
    if (!name.startsWith("Nats-") && name !== Header.invocationId) lines += headerLine(name, value)
  })
  return lines
}

/** Reads a delivery. @throws {FnError} invalid_argument INVALID_REQUEST for a message that is none */
export function readCallback(lines: string, namespace: string): CallbackMessage {
  const headers = new Map<string, string>()
  readHeaderBlock(headerBlock(lines), (name, value) => headers.set(name, value))
  const invocationId = headers.get(Header.invocationId)
  const callback = headers.get(Header.callback)
  const ref = parseRef(headers.get(Header.fn) ?? "")
  if (invocationId === undefined || !isId(invocationId) || callback === undefined || ref.namespace !== namespace)
    throw FnError.of("INVALID_REQUEST", "a delivery names its function, of the namespace it is queued in, its invocation and its callback")
  return {
    ref: { namespace, name: ref.name },
    invocationId,
    callback,
    hops: numberOf(headers.get(Header.hops)) ?? 0,
    version: headers.get(Header.version),
    attempts: numberOf(headers.get(Header.attempt)) ?? 1,
    payloadRef: headers.get(Header.payloadRef),
    headers,
  }
}

/** The event that tells of a result, `body` being the result's. docs/protocol.md#callbacks */
export function callbackEvent(message: CallbackMessage, body: Uint8Array): WireEvent {
  const { ref, invocationId, version, attempts } = message
  const error = message.headers.has(Header.errorCode) ? errorFromReply((name) => message.headers.get(name), body) : undefined
  const head = JSON.stringify({
    invocationId,
    function: `${ref.namespace}/${ref.name}`,
    ...(version === undefined ? {} : { version }),
    status: statusOf(error),
    attempts,
  })
  // Spliced in as they are: numbers keep their digits, objects their order.
  const outcome = error ? `"error":${JSON.stringify(error.toData())}` : `"events":${eventsJson(message, body)}`
  return {
    attributes: {
      specversion: "1.0",
      id: invocationId,
      source: `/fn/${ref.namespace}/${ref.name}`,
      type: error ? "fn.invocation.failed" : "fn.invocation.succeeded",
      datacontenttype: "application/json",
      fninvocationid: invocationId,
    },
    data: Buffer.from(`${head.slice(0, -1)},${outcome}}`),
  }
}

/** A callback as a header value. One that cannot be written as it is must not become another address: it becomes one that is refused. */
function callbackText(callback: string): string {
  return /^[\x21-\x7e]+$/.test(callback) ? callback.slice(0, MAX_CALLBACK_CHARS + 1) : `?${headerText(callback)}`
}

function eventsJson({ headers }: CallbackMessage, body: Uint8Array): string {
  const reader = new BinaryEventReader()
  for (const [name, value] of headers) reader.take(name, value)
  if (reader.isBinary) return `[${encodeStructured(reader.finish(body))}]`
  const text = Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8")
  if (text === "") return "[]"
  const contentType = reader.contentType ?? headers.get(Header.payloadType)
  return contentType === BATCH_TYPE ? text : `[${text}]`
}

function numberOf(text: string | undefined): number | undefined {
  const value = Number(text)
  return Number.isSafeInteger(value) && value > 0 ? value : undefined
}
