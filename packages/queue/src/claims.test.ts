import { headerLine } from "@fn/core"
import { testServers } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { openQueue } from "../test/support.js"
import { claim, completeClaim } from "./claims.js"

const SERVERS = await testServers("claims")

describe.each(SERVERS)("claims on $server", ({ binary }) => {
  const result = { lines: headerLine("Fn-Attempt", 2), data: Buffer.from("done") }

  test("R-IV-10: an invocation belongs to the first message that claims it, at each of its deliveries", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    expect(await claim(access, "default", "key", 7)).toEqual({ kind: "ours" })
    expect(await claim(access, "default", "key", 7)).toEqual({ kind: "ours" })
    expect(await claim(access, "default", "key", 8)).toEqual({ kind: "other" })
    expect(await claim(access, "team", "key", 8)).toEqual({ kind: "ours" })
  })

  test("R-IV-10: of many that claim at once one has it, also across a restart of the server", async () => {
    await using queue = await openQueue({ binary })
    const { access, server } = queue
    const claims = await Promise.all([1, 2, 3, 4, 5, 6].map((seq) => claim(access, "default", "key", seq)))
    expect(claims.filter(({ kind }) => kind === "ours")).toHaveLength(1)
    const owner = claims.findIndex(({ kind }) => kind === "ours") + 1
    await server.restart()
    expect(await claim(access, "default", "key", owner)).toEqual({ kind: "ours" })
    expect(await claim(access, "default", "key", 99)).toEqual({ kind: "other" })
  }, 30_000)

  test("R-IV-10: with the claim its result is kept, for whoever comes later", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    await claim(access, "default", "key", 7)
    await completeClaim(access, "default", "key", { seq: 7, result })
    await completeClaim(access, "default", "key", { seq: 7, result })
    expect(await claim(access, "default", "key", 8)).toEqual({ kind: "other", result })
    expect(await claim(access, "default", "key", 7)).toEqual({ kind: "ours" })
    expect(await queue.messages(access.names.claims)).toBe(1)
  })

  test("a result is kept by nobody but who has the claim, and not when it is too large for a message", async () => {
    await using queue = await openQueue({ binary })
    const { access } = queue
    await completeClaim(access, "default", "nobody", { seq: 7, result })
    expect(await queue.messages(access.names.claims)).toBe(0)
    await claim(access, "default", "key", 7)
    await completeClaim(access, "default", "key", { seq: 8, result })
    await completeClaim(access, "default", "key", { seq: 7, result: { ...result, data: Buffer.alloc(1_000_000) } })
    expect(await claim(access, "default", "key", 8)).toEqual({ kind: "other" })
  })
})
