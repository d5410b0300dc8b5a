import { headerLine } from "@fn/core"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { openQueue } from "../test/support.js"
import { findResult, storeResult } from "./results.js"

const SERVERS = await testServers("results")

describe.each(SERVERS)("results on $server", ({ binary }) => {
  const result = (text: string) => ({ lines: headerLine("Fn-Attempt", 1), data: Buffer.from(text) })

  test("R-IV-10: the first that is written is the result, whoever else tries, and can be fetched again", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    expect(await findResult(access, "default", "a")).toBeUndefined()
    const firsts = await Promise.all(["one", "two", "three", "four"].map((text) => storeResult(access, "default", "a", result(text))))
    expect(firsts.filter((first) => first)).toHaveLength(1)
    const stored = await findResult(access, "default", "a")
    expect(stored?.lines).toBe(headerLine("Fn-Attempt", 1))
    expect(Buffer.from(stored?.data ?? []).toString()).toBe(["one", "two", "three", "four"][firsts.indexOf(true)])
    expect(await storeResult(access, "default", "a", result("late"))).toBe(false)
    expect(await findResult(access, "default", "a", { fromLeader: true })).toEqual(stored)
  })

  test("the same id in another namespace is another invocation", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    expect(await storeResult(access, "default", "a", result("ours"))).toBe(true)
    expect(await storeResult(access, "team", "a", result("theirs"))).toBe(true)
    expect(Buffer.from((await findResult(access, "team", "a"))?.data ?? []).toString()).toBe("theirs")
  })

  test("R-IV-2: whoever listens hears it as it is published; of a second one too, which is not stored", async () => {
    await using queue = await openQueue({ binary })
    const { access, nc } = queue
    const heard: string[] = []
    nc.subscribe("function.result.*", { callback: (_error, msg) => void heard.push(`${msg.subject} ${msg.string()}`) })
    await storeResult(access, "default", "a", result("one"))
    await storeResult(access, "default", "a", result("two"))
    await nc.flush()
    expect(heard).toEqual(["function.result.a one", "function.result.a two"])
    expect(Buffer.from((await findResult(access, "default", "a"))?.data ?? []).toString()).toBe("one")
  })

  test("a result that is stored while the server restarts is stored once", async () => {
    await using queue = await openQueue({ binary })
    const { access, server } = queue
    await server.kill()
    const pending = storeResult(access, "default", "a", { ...result("patient"), timeoutMs: 20_000 })
    await server.restart()
    await pending
    expect(Buffer.from((await findResult(access, "default", "a"))?.data ?? []).toString()).toBe("patient")
    expect(await queue.messages(access.names.results)).toBe(1)
  }, 30_000)
})
