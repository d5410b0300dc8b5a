/** `client.invoke`, as callers use it: an event made of data, its reply decoded. With several functions, one after the other. */
import { connectClient } from "@fn/client"
import { checkData, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes, functions }) {
  const client = await connectClient({ servers: url })
  const payloads = createPayloads(sizeBytes)
  return {
    async call(n) {
      const payload = payloads.at(n)
      const [event] = await client.invoke(functions[n % functions.length], payload.data, { type: "com.example.asked", timeoutMs: 60_000 })
      if (event.type !== "com.example.echoed") throw new Error(`${functions} answered with ${event.type}`)
      checkData(event.data, payload, functions[n % functions.length])
    },
  }
}
