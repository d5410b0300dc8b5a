/** The same echo by a client that does as little as one can: one inbox for all replies, no timer, no error made in advance. */
import { connect as connectNats } from "@nats-io/transport-node"
import { checkBytes, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes }) {
  const nc = await connectNats({ servers: url })
  const payloads = createPayloads(sizeBytes)
  const inbox = `_INBOX.bench${process.pid}.`
  const waiting = new Map()
  let last = 0
  nc.subscribe(`${inbox}*`, {
    callback: (_error, msg) => {
      const token = msg.subject.slice(inbox.length)
      const resolve = waiting.get(token)
      waiting.delete(token)
      resolve(msg.data)
    },
  })
  await nc.flush()
  return {
    async call(n) {
      const payload = payloads.at(n)
      const token = String(++last)
      const replied = new Promise((resolve) => waiting.set(token, resolve))
      nc.publish("bench.echo", payload.bytes, { reply: inbox + token })
      checkBytes(await replied, payload, "the lean echo")
    },
  }
}
