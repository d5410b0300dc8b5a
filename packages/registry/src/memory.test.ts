import { noopLogger } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { artifact, describeRegistryContract, manifest } from "../test/contract.js"
import { createMemoryRegistry, MemoryArtifacts, MemoryStore } from "./memory.js"
import { StoreRegistry } from "./store-registry.js"

describeRegistryContract("R-RG-5: memory registry", async () => {
  const records = new MemoryStore()
  const registry = new StoreRegistry({ records, artifacts: new MemoryArtifacts(), logger: noopLogger })
  return {
    registry,
    writeRaw: async (key, value) => {
      const revision = (await records.get(key))?.revision ?? 0
      expect(await records.write(key, Buffer.from(value), revision)).toBeDefined()
    },
    [Symbol.asyncDispose]: () => registry.close(),
  }
})

describe("createMemoryRegistry", () => {
  test("two registries share nothing", async () => {
    const one = createMemoryRegistry()
    const two = createMemoryRegistry()
    const wanted = manifest()
    await one.deploy(wanted, { artifact: artifact("x") })
    expect(await two.findFunction({ namespace: "default", name: wanted.name })).toBeUndefined()
    await one.close()
    await two.close()
    expect(() => one.follow({ namespace: "default", name: "x" }, () => undefined)).toThrow("closed")
  })
})
