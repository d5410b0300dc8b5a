/**
 * Publishing on the hot path: the whole protocol message in one buffer.
 *
 * The client builds a message from four pieces (command, header block, payload, line end), each encoded and kept apart until they are
 * packed for the socket. Written as one, a message costs half of that: docs/adr/0006. The buffer goes to the client's own
 * `sendCommand`, so order, batching and flushing stay the client's; where that is not found, the public API publishes.
 */
import { headerBlock } from "@fn/core"
import type { NatsConnection } from "@nats-io/transport-node"
import { publishRaw } from "./raw.js"

interface ProtocolLayout {
  readonly noMorePublishing: boolean
  outBytes: number
  outMsgs: number
  sendCommand(command: Uint8Array): void
}

/** What `write(text, 0, "latin1")` ends in; its types leave it out. */
type FastBuffer = Buffer & { latin1Write(text: string, offset: number, length: number): number }

const PREAMBLE = "NATS/1.0\r\n"
/** What needs no look by the client: one run of printable ASCII. */
const PLAIN_SUBJECT = /^[\x21-\x7e]+$/
const CR = 13
const LF = 10

/**
 * Publishes `data` with the header lines `lines` (made by core's `headerLine`; printable ASCII). While the connection is down the message
 * vanishes: see watchConnection.
 * @throws {FnError} resource_exhausted PAYLOAD_TOO_LARGE naming the limit, unavailable DISCONNECTED when the connection is closed
 */
export function publishLines(nc: NatsConnection, subject: string, lines: string, data: Uint8Array, reply: string = ""): void {
  const protocol = protocolOf(nc)
  const headerBytes = PREAMBLE.length + lines.length + 2
  const sizeBytes = headerBytes + data.length
  // Whatever is out of the ordinary is the public API's business, and its error.
  if (!protocol || !isOrdinary(nc, protocol, sizeBytes) || !PLAIN_SUBJECT.test(subject) || (reply !== "" && !PLAIN_SUBJECT.test(reply))) {
    return publishRaw(nc, subject, data, { headerBlock: headerBlock(lines), reply })
  }
  const target = reply === "" ? subject : `${subject} ${reply}`
  const head = `HPUB ${target} ${headerBytes} ${sizeBytes}\r\n${PREAMBLE}${lines}\r\n`
  const message = Buffer.allocUnsafe(head.length + data.length + 2) as FastBuffer
  message.latin1Write(head, 0, head.length)
  message.set(data, head.length)
  message[message.length - 2] = CR
  message[message.length - 1] = LF
  protocol.outBytes += sizeBytes
  protocol.outMsgs++
  protocol.sendCommand(message)
}

function isOrdinary(nc: NatsConnection, protocol: ProtocolLayout, sizeBytes: number): boolean {
  const info = nc.info
  return info !== undefined && info.headers === true && sizeBytes <= info.max_payload && !nc.isClosed() && !protocol.noMorePublishing
}

function protocolOf(nc: NatsConnection): ProtocolLayout | undefined {
  const { protocol } = nc as unknown as { protocol?: Partial<ProtocolLayout> }
  return typeof protocol?.sendCommand === "function" && typeof protocol.outBytes === "number" ? (protocol as ProtocolLayout) : undefined
}
