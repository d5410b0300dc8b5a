/** NATS headers of the platform, exact case. docs/protocol.md#headers */
export const Header = {
  invocationId: "Fn-Invocation-Id",
  idempotencyKey: "Fn-Idempotency-Key",
  version: "Fn-Version",
  revision: "Fn-Revision",
  timeoutMs: "Fn-Timeout-Ms",
  accept: "Fn-Accept",
  replyTo: "Fn-Reply-To",
  hops: "Fn-Hops",
  attempt: "Fn-Attempt",
  events: "Fn-Events",
  started: "Fn-Started",
  errorCode: "Fn-Error-Code",
  errorReason: "Fn-Error-Reason",
  errorId: "Fn-Error-Id",
  retryable: "Fn-Retryable",
  /** Function of a hand-over, `namespace/name`. */
  fn: "Fn-Function",
  /** Host that answered a broadcast. */
  host: "Fn-Host",
  /** The call waits in the durable queue; value: its stream sequence. */
  queued: "Fn-Queued",
  /** The queued message is a sync call that found no free host. */
  spilled: "Fn-Spilled",
  notBefore: "Fn-Not-Before",
  maxAgeMs: "Fn-Max-Age-Ms",
  callback: "Fn-Callback",
  payloadRef: "Fn-Payload-Ref",
  payloadSize: "Fn-Payload-Size",
  payloadType: "Fn-Payload-Type",
  seq: "Fn-Seq",
  end: "Fn-End",
  credit: "Fn-Credit",
  dlqReason: "Fn-Dlq-Reason",
  dlqCode: "Fn-Dlq-Code",
  dlqError: "Fn-Dlq-Error",
  dlqAttempts: "Fn-Dlq-Attempts",
  dlqSequence: "Fn-Dlq-Sequence",
  dlqSubject: "Fn-Dlq-Subject",
  dlqQueuedAt: "Fn-Dlq-Queued-At",
  redrivenFrom: "Fn-Redriven-From",
  serviceError: "Nats-Service-Error",
  serviceErrorCode: "Nats-Service-Error-Code",
  traceparent: "traceparent",
  contentType: "content-type",
} as const

/** Emitted events are refused past this many functions in a row. */
export const MAX_HOPS = 16

const PREAMBLE = "NATS/1.0"

/** Reads a NATS header block, calling `visit` for every line in order. Values are trimmed. Never throws: a line without a colon is skipped. */
export function readHeaderBlock(block: Uint8Array, visit: (name: string, value: string) => void): void {
  const text = asBuffer(block).utf8Slice(0, block.length)
  let start = text.indexOf("\r\n")
  if (start < 0) return
  start += 2
  while (start < text.length) {
    let end = text.indexOf("\r\n", start)
    if (end < 0) end = text.length
    const colon = text.indexOf(":", start)
    if (colon > start && colon < end) {
      // Nearly always one space in front and none behind.
      const padded = text.charCodeAt(colon + 1) !== 32 || text.charCodeAt(colon + 2) <= 32 || text.charCodeAt(end - 1) <= 32
      visit(text.slice(start, colon), padded ? text.slice(colon + 1, end).trim() : text.slice(colon + 2, end))
    }
    start = end + 2
  }
}

/** One header line. The value must be printable: see {@link headerText}. */
export function headerLine(name: string, value: string | number): string {
  return `${name}: ${value}\r\n`
}

/** A header block from lines made by {@link headerLine}. */
export function headerBlock(lines: string): Uint8Array {
  return Buffer.from(`${PREAMBLE}\r\n${lines}\r\n`, "latin1")
}

/** Free text made safe for a header value: one line of printable ASCII, at most `max` characters. */
export function headerText(text: string, max: number = 512): string {
  const flat = text.replace(/[^\x20-\x7e]+/g, (run) => (/^\s+$/.test(run) ? " " : "?"))
  return flat.length > max ? `${flat.slice(0, max - 3)}...` : flat
}

type SliceBuffer = Buffer & { utf8Slice(start: number, end: number): string }

function asBuffer(bytes: Uint8Array): SliceBuffer {
  return (Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)) as SliceBuffer
}
