/**
 * A durable invocation by docs/protocol.md with its result as a plain message: an acknowledged publish to the queue that names an inbox
 * (`Fn-Reply-To`), and the message that comes there.
 */
import { Header, headerLine, newId } from "@fn/core"
import { connectNats, publishAcked, ReplyInbox } from "@fn/nats"
import { checkEqual, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes, functionName }) {
  const nc = await connectNats({ servers: url, name: "bench-async" })
  const inbox = new ReplyInbox(nc)
  const payloads = createPayloads(sizeBytes)
  const attributes =
    headerLine("ce-specversion", "1.0") +
    headerLine("ce-source", "/bench") +
    headerLine("ce-type", "com.example.asked") +
    headerLine("content-type", "application/json")
  return {
    async call(n) {
      const payload = payloads.at(n)
      const id = newId()
      let reply
      const replied = new Promise((resolve) => {
        reply = inbox.open((msg) => resolve(msg.data))
      })
      const lines = headerLine(Header.invocationId, id) + headerLine("Nats-Msg-Id", id) + headerLine(Header.replyTo, reply.subject)
      const stored = publishAcked(inbox, `function.queue.default.${functionName}`, {
        lines: lines + headerLine("ce-id", id) + attributes,
        data: payload.bytes,
        timeoutMs: 30_000,
      })
      const [data] = await Promise.all([replied, stored])
      inbox.close(reply.token)
      checkEqual(JSON.parse(Buffer.from(data).toString()), payload.data, functionName)
    },
  }
}
