import {
  checkName,
  checkNamespace,
  DEFAULT_NAMESPACE,
  decodeData,
  errorHeaderLines,
  FnError,
  type FunctionRef,
  headerBlock,
  messageOf,
  type WireEvent,
  wireFromJson,
} from "@fn/core"

/**
 * The JSON envelope of `function.invoke`: `{functionName, event}` in, `{events}` or `{error, errorType}` out.
 * docs/protocol.md#envelope
 */

/** What an envelope asks for. */
export interface EnvelopeRequest {
  readonly ref: FunctionRef
  readonly event: WireEvent
}

/** The four kinds of error an envelope's answer knows. */
export type EnvelopeErrorType = "invalid_request" | "plugin_not_found" | "response_error" | "execution_error"

/** The request in an envelope. @throws {FnError} invalid_argument INVALID_REQUEST, INVALID_NAME, INVALID_EVENT */
export function decodeEnvelope(payload: Uint8Array): EnvelopeRequest {
  const envelope = parse(payload)
  const { functionName, namespace, version, event } = envelope
  if (typeof functionName !== "string" || functionName === "")
    throw FnError.of("INVALID_REQUEST", "invalid request: functionName is missing")
  if (version !== undefined && typeof version !== "string") throw FnError.of("INVALID_REQUEST", "invalid request: version must be a string")
  const ref = {
    namespace: checkNamespace(namespace === undefined ? DEFAULT_NAMESPACE : (namespace as string)),
    name: checkName(functionName),
    ...(version === undefined ? {} : { version }),
  }
  if (event === undefined) throw FnError.of("INVALID_REQUEST", "invalid request: event is missing")
  return { ref, event: wireFromJson(event, { assumeSpecversion: true }) }
}

/** The answer with events. @throws {FnError} when an event's data is not what its content type says */
export function encodeEnvelopeEvents(events: readonly WireEvent[]): Uint8Array {
  return Buffer.from(JSON.stringify({ events: events.map(toJson) }))
}

/** The answer with an error, and the headers that services send with one. */
export function encodeEnvelopeError(error: FnError, type: EnvelopeErrorType = errorType(error)): { headers: Uint8Array; body: Uint8Array } {
  return { headers: headerBlock(errorHeaderLines(error)), body: Buffer.from(JSON.stringify({ error: error.message, errorType: type })) }
}

function errorType(error: FnError): EnvelopeErrorType {
  if (error.code === "invalid_argument") return "invalid_request"
  return error.code === "not_found" ? "plugin_not_found" : "execution_error"
}

function toJson({ attributes, data }: WireEvent): Record<string, unknown> {
  if (data === undefined) return attributes
  const decoded = decodeData(data, attributes.datacontenttype)
  return decoded instanceof Uint8Array
    ? { ...attributes, data_base64: Buffer.from(decoded).toString("base64") }
    : { ...attributes, data: decoded }
}

function parse(payload: Uint8Array): Record<string, unknown> {
  let parsed: unknown
  try {
    parsed = JSON.parse(Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength).toString("utf8"))
  } catch (thrown) {
    throw FnError.of("INVALID_REQUEST", `invalid request: the payload is no JSON: ${messageOf(thrown)}`)
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw FnError.of("INVALID_REQUEST", "invalid request: the payload must be a JSON object")
  return parsed as Record<string, unknown>
}
