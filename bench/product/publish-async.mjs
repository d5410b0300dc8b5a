/**
 * A durable invocation by docs/protocol.md with its result as a plain message: an acknowledged publish to the queue that names an inbox
 * (`Fn-Reply-To`), and the message that comes there.
 */
import { Header, headerLine, newId } from "@fn/core"
import { connectNats, publishLines } from "@fn/nats"
import { checkEqual, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes, functionName }) {
  const nc = await connectNats({ servers: url, name: "bench-async" })
  const payloads = createPayloads(sizeBytes)
  const inbox = await openInbox(nc)
  const attributes =
    headerLine("ce-specversion", "1.0") +
    headerLine("ce-source", "/bench") +
    headerLine("ce-type", "com.example.asked") +
    headerLine("content-type", "application/json")
  return {
    async call(n) {
      const payload = payloads.at(n)
      const id = newId()
      const [stored, result] = [inbox.open(), inbox.open()]
      const lines = headerLine(Header.invocationId, id) + headerLine("Nats-Msg-Id", id) + headerLine(Header.replyTo, result.subject)
      const subject = `function.queue.default.${functionName}`
      publishLines(nc, subject, lines + headerLine("ce-id", id) + attributes, payload.bytes, stored.subject)
      const ack = JSON.parse(text(await stored.message))
      if (ack.error || !(ack.seq > 0)) throw new Error(`it was not stored: ${JSON.stringify(ack)}`)
      checkEqual(JSON.parse(text(await result.message)), payload.data, functionName)
    },
  }
}

/** One subscription for all replies; each `open` is a subject for one of them. */
async function openInbox(nc) {
  const prefix = `_INBOX.bench${newId()}.`
  const waiting = new Map()
  let last = 0
  nc.subscribe(`${prefix}*`, {
    callback: (_error, msg) => {
      waiting.get(msg.subject)?.(msg.data)
      waiting.delete(msg.subject)
    },
  })
  await nc.flush()
  return {
    open() {
      const subject = prefix + ++last
      return { subject, message: new Promise((resolve) => waiting.set(subject, resolve)) }
    },
  }
}

function text(data) {
  return Buffer.from(data).toString()
}
