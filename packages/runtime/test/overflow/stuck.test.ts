import type { FunctionStatus } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { failure, header } from "../test-host.js"
import { callOn, Gate, type Host, startTestHosts } from "./hosts.js"

function statusOf({ runtime }: Host): FunctionStatus {
  return runtime.status().functions[0] as FunctionStatus
}

describe("a builtin that ignores its cancellation", () => {
  test("is answered, keeps its slot and is shown as stuck, until it lets go of it", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    let closed = 0
    const stubborn = { execute: gate.on("a"), shutdown: async () => void closed++ }
    const a = await hosts.start("a", { stubborn }, { limits: { cancelGraceMs: 20 } })
    await hosts.deploy("stubborn", { concurrency: 2 })
    const late = callOn(hosts.nc, "function.js.stubborn", { "Fn-Timeout-Ms": "100" })
    expect(failure(await late.reply)).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await until(() => statusOf(a).stuck === 1, { name: "the execution to be shown as stuck" })
    expect(statusOf(a)).toMatchObject({ running: 1, freeSlots: 1 })

    // The other slot still serves, one call at a time.
    const calls = [callOn(hosts.nc, "function.js.stubborn"), callOn(hosts.nc, "function.js.stubborn")]
    await until(() => statusOf(a).waiting === 1, { name: "one to wait" })
    expect(gate.ids).toHaveLength(2)
    gate.open()
    for (const { reply } of calls) expect(header(await reply, "ce-type")).toBe("done")
    expect(statusOf(a)).toMatchObject({ running: 0, freeSlots: 2, waiting: 0 })
    expect(statusOf(a).stuck).toBeUndefined()
    // It is the same instance all the time.
    expect([statusOf(a).coldStarts, closed]).toEqual([1, 0])
  }, 30_000)

  test("with every slot stuck, calls are refused at once with the reason, and a drain does not wait", async () => {
    await using hosts = await startTestHosts()
    const gate = new Gate()
    const a = await hosts.start("a", { stubborn: gate.on("a") }, { limits: { cancelGraceMs: 20 } })
    await hosts.deploy("stubborn", { concurrency: 1 })
    hosts.nc.publish("function.js.stubborn", "{}", { reply: "_INBOX.nobody" })
    await until(() => gate.ids.length === 1, { name: "it to run" })
    hosts.nc.publish(`function.cancel.default.${gate.ids[0]}`)
    await until(() => statusOf(a).stuck === 1, { name: "the execution to be shown as stuck" })
    const refused = await callOn(hosts.nc, "function.js.stubborn").reply
    expect(failure(refused)).toBe("resource_exhausted QUEUE_FULL")
    expect(header(refused, "Nats-Service-Error")).toContain("ignores its cancellation")
    await a.runtime.drain({ graceMs: 600_000 })
    expect(a.runtime.phase).toBe("closed")
    gate.open()
  }, 30_000)
})
