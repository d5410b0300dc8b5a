/** A remote call of Moleculer over NATS. */
import { checkData, createPayloads } from "../measure/payload.mjs"
import { startBroker } from "./moleculer-broker.mjs"

export async function connect({ url, sizeBytes }) {
  const broker = startBroker("client", url)
  await broker.start()
  await broker.waitForServices("bench", 10_000)
  const payloads = createPayloads(sizeBytes)
  return {
    async call(n) {
      const payload = payloads.at(n)
      checkData(await broker.call("bench.echo", payload.data), payload, "Moleculer")
    },
  }
}
