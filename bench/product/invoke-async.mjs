/** `client.invokeAsync`, then `client.result`: the invocation is stored, its result is stored, the caller has read it. */
import { connectClient } from "@fn/client"
import { checkData, createPayloads } from "../measure/payload.mjs"

export async function connect({ url, sizeBytes, functionName }) {
  const client = await connectClient({ servers: url })
  const payloads = createPayloads(sizeBytes)
  return {
    async call(n) {
      const payload = payloads.at(n)
      const id = await client.invokeAsync(functionName, payload.data, { type: "com.example.asked" })
      const [event] = await client.result(id, { timeoutMs: 60_000 })
      checkData(event.data, payload, functionName)
    },
  }
}
