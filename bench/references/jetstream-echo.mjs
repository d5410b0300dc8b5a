/** JetStream as it comes: publish into a work queue and its acknowledgement, consume, a plain result, acknowledge. */
import { jetstream } from "@nats-io/jetstream"
import { connect as connectNats } from "@nats-io/transport-node"
import { checkBytes, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes }) {
  const nc = await connectNats({ servers: url })
  const js = jetstream(nc)
  const payloads = createPayloads(sizeBytes)
  const waiting = new Map()
  let last = 0
  nc.subscribe("bench.result.*", {
    callback: (_error, msg) => {
      const token = msg.subject.slice("bench.result.".length)
      waiting.get(token)?.(msg.data)
      waiting.delete(token)
    },
  })
  await nc.flush()
  return {
    async call(n) {
      const payload = payloads.at(n)
      const token = `${process.pid}-${++last}`
      const replied = new Promise((resolve) => waiting.set(token, resolve))
      await js.publish(`bench.queue.${token}`, payload.bytes, { timeout: 30_000 })
      checkBytes(await replied, payload, "the JetStream echo")
    },
  }
}
