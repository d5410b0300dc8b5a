/** `client.invoke` of a function that burns processor time and says what came of it. */
import { connectClient } from "@fn/client"
import { checkEqual } from "../measure/payload.mjs"

export async function connect({ url, rounds, result }) {
  const client = await connectClient({ servers: url })
  return {
    async call() {
      const [event] = await client.invoke("burn", { rounds }, { type: "com.example.asked", timeoutMs: 60_000 })
      checkEqual(event.data, { result }, "burn")
    },
  }
}
