import { startTestServer } from "@fn/testing"
import { Kvm } from "@nats-io/kv"
import { describeRegistryContract } from "../../test/contract.js"
import { connectRegistry } from "./connect.js"
import { setupPlatform } from "./setup.js"

describeRegistryContract("NATS registry", async () => {
  const server = await startTestServer()
  const nc = await server.connect()
  await setupPlatform(nc)
  const registry = await connectRegistry(nc)
  const kv = await new Kvm(nc).open("functions")
  return {
    registry,
    writeRaw: async (key, value) => void (await kv.put(key, value)),
    [Symbol.asyncDispose]: async () => {
      await registry.close()
      await server[Symbol.asyncDispose]()
    },
  }
})
