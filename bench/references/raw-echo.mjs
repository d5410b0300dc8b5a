/** An echo over NATS by nats.js as it comes: `request()`, with its defaults. */
import { connect as connectNats } from "@nats-io/transport-node"
import { checkBytes, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes }) {
  const nc = await connectNats({ servers: url })
  const payloads = createPayloads(sizeBytes)
  return {
    async call(n) {
      const payload = payloads.at(n)
      const reply = await nc.request("bench.echo", payload.bytes, { timeout: 30_000 })
      checkBytes(reply.data, payload, "the raw echo")
    },
  }
}
