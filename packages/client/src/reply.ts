import {
  BATCH_TYPE,
  BinaryEventReader,
  decodeBatch,
  decodeStructured,
  errorFromReply,
  FnError,
  Header,
  messageOf,
  readHeaderBlock,
  STRUCTURED_TYPE,
  type WireEvent,
} from "@fn/core"

/** What one message on a call's inbox says. docs/protocol.md#replies */
export type Reply =
  /** A host took the call and works on it; the reply is still to come. */
  | { readonly kind: "started"; readonly host: string }
  /** No host had a free slot: the call waits in the durable queue, and no host has it. */
  | { readonly kind: "queued" }
  | { readonly kind: "events"; readonly events: WireEvent[] }
  /** The body is stored apart: to be read again with it. docs/protocol.md#large-events */
  | { readonly kind: "apart"; readonly ref: string }
  | { readonly kind: "error"; readonly error: FnError }
  /** It answers another invocation, which was asked from the same subject before. */
  | { readonly kind: "another" }

/**
 * Reads one message: a started message, events in any mode of the NATS binding, or an error. The header block is walked once on success,
 * and no Error is made unless there is one. What names another invocation than `invocationId` is not for it. Never throws: what is no reply becomes
 * BAD_OUTPUT.
 */
export function readReply(block: Uint8Array | undefined, payload: Uint8Array, invocationId?: string): Reply {
  if (block === undefined) {
    return payload.length === 0 ? noEvents() : badReply("it has a payload but no headers")
  }
  const event = new BinaryEventReader()
  let startedHost: string | undefined
  let payloadRef: string | undefined
  let isError = false
  let isQueued = false
  let isAnothers = false
  try {
    readHeaderBlock(block, (name, value) => {
      if (event.take(name, value)) return
      if (name === Header.started) startedHost = value
      else if (name === Header.payloadRef) payloadRef = value
      else if (name === Header.payloadType) event.contentType ??= value
      else if (name === Header.errorCode || name === Header.serviceErrorCode) isError = true
      else if (name === Header.queued) isQueued = true
      else if (name === Header.invocationId) isAnothers = invocationId !== undefined && value !== invocationId
    })
    if (isAnothers) return { kind: "another" }
    if (payloadRef !== undefined && payload.length === 0) return { kind: "apart", ref: payloadRef }
    if (isError) return { kind: "error", error: errorReply(block, payload) }
    if (startedHost !== undefined) return { kind: "started", host: startedHost }
    if (event.isBinary) return { kind: "events", events: [event.finish(payload)] }
    if (payload.length === 0) return isQueued ? { kind: "queued" } : noEvents()
    return { kind: "events", events: readJson(event.contentType, payload) }
  } catch (thrown) {
    return badReply(messageOf(thrown))
  }
}

function noEvents(): Reply {
  return { kind: "events", events: [] }
}

function readJson(contentType: string | undefined, payload: Uint8Array): WireEvent[] {
  const type = contentType?.split(";", 1)[0]?.trim().toLowerCase()
  if (type === BATCH_TYPE) return decodeBatch(payload)
  if (type === STRUCTURED_TYPE) return [decodeStructured(payload)]
  throw FnError.of("BAD_OUTPUT", `its content type is ${contentType ?? "missing"}`)
}

function errorReply(block: Uint8Array, payload: Uint8Array): FnError {
  const headers = new Map<string, string>()
  readHeaderBlock(block, (name, value) => headers.set(name, value))
  return errorFromReply((name) => headers.get(name), payload)
}

function badReply(why: string): Reply {
  return { kind: "error", error: FnError.of("BAD_OUTPUT", `the reply is not in the CloudEvents NATS binding: ${why}`) }
}
