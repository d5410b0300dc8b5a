import type { FunctionStatus } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { failure, header, startTestHost } from "../test-host.js"
import { callOn, type Host, startTestHosts } from "./hosts.js"

function statusOf({ runtime }: Pick<Host, "runtime">): FunctionStatus {
  return runtime.status().functions[0] as FunctionStatus
}

/** Messages about circuits that a host logged. */
function circuits({ lines }: Pick<Host, "lines">): string[] {
  return lines.map(({ message }) => message).filter((message) => message.startsWith("circuit"))
}

/** A builtin that does not start while `broken` says so. */
function moody(host: string, broken: () => boolean) {
  return {
    initialize: async () => {
      if (broken()) throw new Error(`no database on ${host}`)
    },
    execute: () => ({ type: host }) as never,
  }
}

describe("R-IV-8: a version that does not work on a host", () => {
  test("gets no more calls there while other hosts serve it, is tried again, and comes back when it works", async () => {
    await using hosts = await startTestHosts()
    let isBroken = true
    const limits = { circuit: { failures: 5, initialMs: 500, maxMs: 60_000 } }
    const a = await hosts.start("a", { moody: moody("a", () => isBroken) }, { limits })
    const b = await hosts.start("b", { moody: moody("b", () => false) }, { limits })
    await hosts.deploy("moody")
    const request = () => callOn(hosts.nc, "function.js.moody").reply
    await until(async () => (await request()) && statusOf(a).circuit?.phase === "open", { name: "the circuit to open", timeoutMs: 10_000 })
    expect(statusOf(a)).toMatchObject({ served: true, freeSlots: 0, circuit: { phase: "open", error: { reason: "INIT_FAILED" } } })
    expect(statusOf(b).circuit).toBeUndefined()
    await a.nc.flush()
    const types = await Promise.all(Array.from({ length: 20 }, async () => header(await request(), "ce-type")))
    expect(new Set(types)).toEqual(new Set(["b"]))

    isBroken = false
    await until(async () => header(await request(), "ce-type") === "a", { name: "a to serve it again", timeoutMs: 10_000 })
    expect(statusOf(a).circuit).toBeUndefined()
    expect(circuits(a)).toEqual(["circuit open", "circuit half-open", "circuit closed"])
    expect(circuits(b)).toEqual([])
  }, 30_000)

  test("is NATS' no responders where no other host serves it; a message that still comes is CIRCUIT_OPEN", async () => {
    await using hosts = await startTestHosts()
    const a = await hosts.start("a", { moody: moody("a", () => true) })
    await hosts.deploy("moody")
    const request = () => hosts.nc.request("function.js.moody", "{}", { timeout: 5_000 })
    const reasons: string[] = []
    for (let i = 0; i < 5; i++) reasons.push(failure(await request()))
    expect(reasons).toEqual(Array(5).fill("failed_precondition INIT_FAILED"))
    await a.nc.flush()
    await expect(request()).rejects.toMatchObject({ message: expect.stringContaining("no responders") })
    const slip = { "Fn-Function": "default/moody", "Fn-Invocation-Id": "x" }
    const refused = await callOn(hosts.nc, "function.host.a.invoke", slip).reply
    expect([failure(refused), header(refused, "Fn-Retryable")]).toEqual(["unavailable CIRCUIT_OPEN", "true"])
    expect(header(refused, "Nats-Service-Error")).toContain("INIT_FAILED: no database on a")
    const envelope = JSON.stringify({ functionName: "moody", event: { id: "1", source: "/t", type: "t" } })
    const answer = await hosts.nc.request("function.invoke", envelope, { timeout: 5_000 })
    expect(failure(answer)).toBe("unavailable NO_HOST")
    expect(header(answer, "Nats-Service-Error")).toContain("no database on a")
  }, 30_000)

  test("starts closed when another version becomes active", async () => {
    await using hosts = await startTestHosts()
    let isBroken = true
    const a = await hosts.start("a", { moody: moody("a", () => isBroken) })
    await hosts.deploy("moody", { version: "1.0.0" })
    for (let i = 0; i < 5; i++) await callOn(hosts.nc, "function.js.moody").reply
    expect(statusOf(a).circuit).toMatchObject({ phase: "open" })
    isBroken = false
    await hosts.deploy("moody", { version: "2.0.0" })
    expect(statusOf(a).circuit).toBeUndefined()
    expect(header(await callOn(hosts.nc, "function.js.moody").reply, "ce-type")).toBe("a")
  }, 30_000)

  test("is not what a function's own errors, callers' short time-outs or cancels say", async () => {
    await using hosts = await startTestHosts()
    const execute = (event: { data?: unknown }) => {
      if (event.data === "throw") throw new Error("no")
      return new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), event.data === "long" ? 30 : 0))
    }
    const a = await hosts.start("a", { fussy: execute }, { limits: { circuit: { failures: 2, initialMs: 60_000, maxMs: 60_000 } } })
    await hosts.deploy("fussy")
    for (let i = 0; i < 4; i++) {
      expect(failure(await callOn(hosts.nc, "function.js.fussy", {}, '"throw"').reply)).toBe("unknown FUNCTION_THREW")
      expect(failure(await callOn(hosts.nc, "function.js.fussy", { "Fn-Timeout-Ms": "5" }, '"long"').reply)).toContain("deadline_exceeded")
      expect(failure(await callOn(hosts.nc, "function.js.fussy", {}, "").reply.then((reply) => reply))).toBe("undefined undefined")
    }
    expect(statusOf(a).circuit).toBeUndefined()
  }, 30_000)

  test("is what its own time-out says, when it runs out again and again", async () => {
    await using hosts = await startTestHosts()
    const hang = (_event: object, { signal }: { signal: AbortSignal }) =>
      new Promise<undefined>((resolve) => signal.addEventListener("abort", () => resolve(undefined)))
    const a = await hosts.start("a", { hang }, { limits: { circuit: { failures: 3, initialMs: 60_000, maxMs: 60_000 } } })
    await hosts.deploy("hang", { timeoutMs: 100 })
    const replies = Array.from({ length: 3 }, () => callOn(hosts.nc, "function.js.hang", { "Fn-Timeout-Ms": "800" }).reply)
    for (const reply of replies) expect(failure(await reply)).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    expect(statusOf(a).circuit).toMatchObject({ phase: "open", error: { reason: "FUNCTION_TIMEOUT" } })
  }, 30_000)

  test("one crash that takes many calls with it is one failure", async () => {
    await using host = await startTestHost({ limits: { circuit: { failures: 3, initialMs: 60_000, maxMs: 60_000 } } })
    await host.deployModule(
      "dies",
      "export default async (event) => { if (event.data.die) process.exit(1); await new Promise(() => undefined) }",
    )
    const waiting = Array.from({ length: 10 }, () => host.request("function.js.dies", '{"die":false}'))
    await until(() => host.runtime.status().functions[0]?.running === 10, { name: "ten to run" })
    await until(async () => (await host.request("function.js.dies", '{"die":true}')) !== undefined, { name: "the crash" })
    for (const reply of await Promise.all(waiting)) expect(failure(reply)).toBe("unavailable FUNCTION_CRASHED")
    expect(host.runtime.status().functions[0]).toMatchObject({ crashes: 1 })
    expect(host.runtime.status().functions[0]?.circuit).toBeUndefined()
  }, 30_000)
})
