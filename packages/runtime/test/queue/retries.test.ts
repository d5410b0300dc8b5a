import { rm, writeFile } from "node:fs/promises"
import { FnError, Header, headerLine } from "@fn/core"
import { tempDir, testServers, until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { isPermanent, retryDelayMs } from "../../src/queue/retry-policy.js"
import { startQueuePlatform } from "./support.js"

describe.each(await testServers("retries"))("R-IV-8: an attempt that fails, on $server:", ({ binary }) => {
  test("is repeated after its delay, and the function sees which attempt it is", async () => {
    const attempts: { attempt: number; at: number }[] = []
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        flaky: (_event, ctx) => {
          attempts.push({ attempt: ctx.attempt, at: performance.now() })
          if (ctx.attempt < 3) throw new Error("not yet")
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("flaky", { retry: { initialMs: 100, jitter: false } })
    const result = await platform.result(await platform.enqueue("flaky"))
    expect(result.failure).toBeUndefined()
    expect(result.headers.get(Header.attempt)).toBe("3")
    expect(attempts.map(({ attempt }) => attempt)).toEqual([1, 2, 3])
    const [first, second, third] = attempts.map(({ at }) => at) as [number, number, number]
    expect(second - first).toBeGreaterThanOrEqual(99)
    expect(third - second).toBeGreaterThanOrEqual(199)
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
    expect(await platform.records("flaky")).toEqual(["succeeded 3"])
  }, 60_000)

  test("is given up after the last one: a dead letter with its event, a result that failed", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        broken: () => {
          runs++
          throw new Error("no luck")
        },
      },
    })
    await platform.deploy("broken", { retry: { attempts: 2, initialMs: 10 } })
    const id = await platform.enqueue("broken", { data: '{"order":7}' })
    expect((await platform.result(id)).failure).toBe("unknown FUNCTION_THREW")
    const [letter] = await platform.deadLetters("broken")
    expect(letter?.text).toBe('{"order":7}')
    expect(Object.fromEntries(letter?.headers ?? [])).toMatchObject({
      [Header.invocationId]: id,
      [Header.dlqReason]: "FUNCTION_THREW",
      [Header.dlqAttempts]: "2",
      [Header.dlqSubject]: "function.queue.default.broken",
    })
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
    expect(runs).toBe(2)
    expect(await platform.records("broken")).toEqual(["failed 2"])
  }, 60_000)

  test("with a permanent error is given up at once", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      binary,
      builtins: {
        hopeless: () => {
          runs++
          throw FnError.terminal("NO_SUCH_ORDER", "there is no such order")
        },
      },
    })
    await platform.deploy("hopeless")
    expect((await platform.result(await platform.enqueue("hopeless"))).failure).toBe("failed_precondition NO_SUCH_ORDER")
    const [letter] = await platform.deadLetters("hopeless")
    expect(letter?.headers.get(Header.dlqReason)).toBe("NO_SUCH_ORDER")
    expect(runs).toBe(1)
  }, 60_000)
})

describe("R-IV-8: an attempt that fails", () => {
  test("comes again when its error asks for it", async () => {
    const at: number[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        later: (_event, ctx) => {
          at.push(performance.now())
          if (ctx.attempt === 1) throw FnError.retryAfter(300)
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("later", { retry: { initialMs: 60_000 } })
    expect((await platform.result(await platform.enqueue("later"))).failure).toBeUndefined()
    expect((at[1] as number) - (at[0] as number)).toBeGreaterThanOrEqual(299)
  }, 60_000)

  test("is repeated or not as the function's lists of errors say", async () => {
    const runs: string[] = []
    const fail = (name: string) => () => {
      runs.push(name)
      throw FnError.terminal("OUT_OF_STOCK", "none left")
    }
    await using platform = await startQueuePlatform({ builtins: { on: fail("on"), except: fail("except") } })
    await platform.deploy("on", { retry: { attempts: 2, initialMs: 10, on: ["OUT_OF_STOCK"] } })
    await platform.deploy("except", { retry: { attempts: 2, initialMs: 10, except: ["failed_precondition"] } })
    await platform.result(await platform.enqueue("on"))
    await platform.result(await platform.enqueue("except"))
    expect(runs).toEqual(["on", "on", "except"])
  }, 60_000)

  test("of a version that is gone is permanent", async () => {
    await using platform = await startQueuePlatform({ builtins: { pinned: (_event, ctx) => ({ type: "ok", data: ctx.fn.version }) } })
    await platform.deploy("pinned", { version: "1.0.0" })
    await platform.deploy("pinned", { version: "2.0.0" })
    const one = await platform.enqueue("pinned", { lines: headerLine(Header.version, "1.0.0") })
    expect((await platform.result(one)).text).toBe('"1.0.0"')
    const gone = await platform.enqueue("pinned", { lines: headerLine(Header.version, "0.9.0") })
    expect((await platform.result(gone)).failure).toBe("not_found VERSION_NOT_FOUND")
    expect((await platform.result(await platform.enqueue("pinned"))).text).toBe('"2.0.0"')
    expect((await platform.deadLetters("pinned")).map(({ headers }) => headers.get(Header.dlqAttempts))).toEqual(["1"])
  }, 60_000)

  test("by its time running out is repeated too, and its last failure is one of time", async () => {
    const attempts: number[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        slow: async (_event, ctx) => {
          attempts.push(ctx.attempt)
          await new Promise((resolve) => ctx.signal.addEventListener("abort", resolve))
        },
      },
    })
    await platform.deploy("slow", { timeoutMs: 50, retry: { attempts: 2, initialMs: 10 } })
    const id = await platform.enqueue("slow")
    expect((await platform.result(id)).failure).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    expect(attempts).toEqual([1, 2])
    await until(async () => (await platform.records("slow"))[0] === "timed_out 2", { name: "the record" })
  }, 60_000)
})

describe("R-IV-8: a function that does not work on a host", () => {
  test("is given a rest, and what waits for it runs once it works again", async () => {
    await using folder = await tempDir("fn-circuit-")
    const broken = folder.file("broken")
    await writeFile(broken, "")
    await using platform = await startQueuePlatform({ hosts: 0 })
    const limits = { circuit: { failures: 2, initialMs: 300, maxMs: 300 }, backoff: { initialMs: 1, maxMs: 10, loopAfter: 1_000 } }
    const host = await platform.host({ limits })
    const source = `
      import { existsSync } from "node:fs"
      export default () => { if (existsSync(${JSON.stringify(broken)})) process.exit(1); return { type: "ok" } }`
    await platform.registry.deploy(
      { name: "shaky", language: "js", runtime: "module", concurrency: 2, retry: { attempts: 100, initialMs: 10, maxMs: 20 } },
      { artifact: Buffer.from(source), awaitServed: false },
    )
    const ids = await Promise.all(Array.from({ length: 5 }, () => platform.enqueue("shaky")))
    await until(() => host.status().functions[0]?.circuit?.phase === "open", { name: "the circuit to open", timeoutMs: 20_000 })
    await rm(broken)
    for (const id of ids) expect((await platform.result(id, 30_000)).failure).toBeUndefined()
    await until(() => host.status().functions[0]?.circuit === undefined, { name: "the circuit to close" })
  }, 90_000)
})

describe("R-IV-8: the rule of retries", () => {
  test("is by code, whatever the language of the function", () => {
    const of = (code: ConstructorParameters<typeof FnError>[0]): boolean => isPermanent(new FnError(code, "it failed"))
    expect((["unknown", "unavailable", "internal", "aborted", "deadline_exceeded", "resource_exhausted"] as const).map(of)).not.toContain(
      true,
    )
    expect((["invalid_argument", "not_found", "data_loss", "unimplemented", "cancelled", "out_of_range"] as const).map(of)).not.toContain(
      false,
    )
  })

  test("a cancelled invocation is never repeated, whatever the function's lists say", () => {
    expect(isPermanent(FnError.of("CANCELLED", "stop"), { on: ["CANCELLED", "cancelled"] })).toBe(true)
  })

  test("delays grow by the factor up to the longest, half of each drawn", () => {
    const error = new Error("x")
    const policy = { initialMs: 1_000, maxMs: 30_000, factor: 2, jitter: true }
    const of = (attempt: number, random: number): number => retryDelayMs(FnError.from(error, "unknown"), attempt, policy, random)
    expect([of(1, 0), of(1, 1), of(2, 1), of(3, 0), of(20, 1)]).toEqual([500, 1_000, 2_000, 2_000, 30_000])
  })
})
