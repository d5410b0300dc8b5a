import { isAlive, processTree, until, watchChildren } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { failure, header, startTestHost } from "./test-host.js"

const ECHO = "export default (event) => ({ type: 'echo', data: { pid: process.pid, got: event.data } })"

describe("R-PL-2: module functions", () => {
  test("a module runs in a process of its own, and is gone with its host", async () => {
    const children = watchChildren()
    {
      await using host = await startTestHost()
      await host.deployModule("echo", ECHO)
      const { pid } = (await host.request("function.js.echo", "{}")).json() as { pid: number }
      expect(pid).not.toBe(process.pid)
      expect(isAlive(pid)).toBe(true)
    }
    await children.settled()
  })

  test("R-PL-7: a crash fails its caller, counts, and the next call gets a new process", async () => {
    await using host = await startTestHost()
    await host.deployModule("fragile", "export default (event) => { if (event.data.die) process.exit(3); return { type: 'ok' } }")
    const crashed = await host.request("function.js.fragile", '{"die":true}')
    expect(failure(crashed)).toBe("unavailable FUNCTION_CRASHED")
    expect(header(crashed, "Nats-Service-Error")).toContain("exit code 3")
    expect(header(await host.request("function.js.fragile", "{}"), "ce-type")).toBe("ok")
    expect(host.runtime.status().functions[0]).toMatchObject({ crashes: 1, coldStarts: 2 })
  })

  test("R-PL-7: a function that crashes on every call becomes a CRASH_LOOP that answers at once", async () => {
    await using host = await startTestHost({ limits: { backoff: { initialMs: 60_000, maxMs: 60_000, loopAfter: 3 } } })
    await host.deployModule("dies", "export default () => process.exit(1)")
    const reasons: string[] = []
    for (let i = 0; i < 4; i++) reasons.push(failure(await host.request("function.js.dies", "{}", { "Fn-Timeout-Ms": "5000" })))
    // The first restart is free; after the second crash the next is 60 s away.
    expect(reasons).toEqual([
      "unavailable FUNCTION_CRASHED",
      "unavailable FUNCTION_CRASHED",
      "unavailable CRASH_LOOP",
      "unavailable CRASH_LOOP",
    ])
  })

  test("a module that does not load says why, each time", async () => {
    await using host = await startTestHost()
    await host.deployModule("broken", "export default 42")
    await host.deployModule("syntax", "export default (")
    expect(failure(await host.request("function.js.broken", "{}"))).toBe("failed_precondition LOAD_FAILED")
    expect(failure(await host.request("function.js.broken", "{}"))).toBe("failed_precondition LOAD_FAILED")
    expect(failure(await host.request("function.js.syntax", "{}"))).toBe("failed_precondition LOAD_FAILED")
  })

  test("a handler that throws is FUNCTION_THREW with its message, and its stack only in the log", async () => {
    await using host = await startTestHost()
    await host.deployModule("throws", "export default () => { throw new Error('no luck') }")
    const reply = await host.request("function.js.throws", "{}")
    expect([failure(reply), header(reply, "Nats-Service-Error")]).toEqual(["unknown FUNCTION_THREW", "no luck"])
    expect(reply.string()).not.toContain("    at ")
    await until(
      () => host.lines.some(({ message, fields }) => message === "the function threw" && String(fields.error).includes("    at ")),
      { name: "the stack in the log" },
    )
  })

  test("what is no event is refused as BAD_OUTPUT", async () => {
    await using host = await startTestHost()
    await host.deployModule("number", "export default () => 42")
    await host.deployModule("untyped", "export default () => ({ data: 1 })")
    expect(failure(await host.request("function.js.number", "{}"))).toBe("failed_precondition BAD_OUTPUT")
    expect(failure(await host.request("function.js.untyped", "{}"))).toBe("failed_precondition BAD_OUTPUT")
  })

  test("R-FN-2: the context tells deadline, attempt, identity and config, and its signal fires on time-out", async () => {
    await using host = await startTestHost()
    await host.deployModule(
      "context",
      `let aborted
       export default async (event, ctx) => {
         if (event.data.last) return { type: 'aborted', data: aborted }
         if (!event.data.wait) return { type: 'ctx', data: { left: ctx.deadline - Date.now(), attempt: ctx.attempt, fn: ctx.fn, config: ctx.config, id: ctx.invocationId } }
         await new Promise((resolve) => ctx.signal.addEventListener('abort', () => { aborted = ctx.signal.reason.reason; resolve() }))
       }`,
      { config: { greeting: "hello" }, version: "1.2.3" },
    )
    const seen = (await host.request("function.js.context", "{}", { "Fn-Timeout-Ms": "5000", "Fn-Invocation-Id": "inv-1" })).json() as {
      left: number
    }
    expect(seen).toMatchObject({
      attempt: 1,
      id: "inv-1",
      config: { greeting: "hello" },
      fn: { namespace: "default", name: "context", version: "1.2.3" },
    })
    expect(seen.left).toBeGreaterThan(3000)
    expect(failure(await host.request("function.js.context", '{"wait":true}', { "Fn-Timeout-Ms": "50" }))).toBe(
      "deadline_exceeded FUNCTION_TIMEOUT",
    )
    await until(async () => (await host.request("function.js.context", '{"last":true}')).json() === "FUNCTION_TIMEOUT", {
      name: "the handler to have seen the abort",
    })
  })

  test("a loop that ignores its cancellation costs the process, not the host", async () => {
    await using host = await startTestHost({ limits: { cancelGraceMs: 100 } })
    await host.deployModule("spins", "export default (event) => { if (event.data.spin) for (;;); return { type: 'ok' } }")
    await host.request("function.js.spins", "{}")
    expect(failure(await host.request("function.js.spins", '{"spin":true}', { "Fn-Timeout-Ms": "100" }))).toBe(
      "deadline_exceeded FUNCTION_TIMEOUT",
    )
    // A call that came while the process was stuck goes down with it; it does not wait for its own time-out.
    const unlucky = host.request("function.js.spins", "{}", { "Fn-Timeout-Ms": "60000" })
    expect(failure(await unlucky)).toBe("unavailable FUNCTION_CRASHED")
    expect(header(await host.request("function.js.spins", "{}"), "ce-type")).toBe("ok")
  })

  test("a heap past memoryMb ends as MEMORY_LIMIT", async () => {
    await using host = await startTestHost()
    await host.deployModule("greedy", "export default () => { const a = []; for (;;) a.push(new Array(1e5).fill({})) }", { memoryMb: 48 })
    expect(failure(await host.request("function.js.greedy", "{}", {}, 25_000))).toBe("resource_exhausted MEMORY_LIMIT")
  }, 30_000)

  test("R-OB-3: stdout, stderr and ctx.log reach the host's log; a flood on stdout stops nothing", async () => {
    await using host = await startTestHost()
    await host.deployModule(
      "talks",
      "export default (event, ctx) => { console.log('to stdout'); console.error('to stderr'); ctx.log.info('to log', { n: 1 }); for (let i = 0; i < event.data.lines; i++) console.log('x'.repeat(1000)); return { type: 'ok' } }",
    )
    await host.request("function.js.talks", '{"lines":0}')
    for (const message of ["to stdout", "to stderr", "to log"])
      await until(() => host.lines.some((line) => line.message === message), { name: `the line ${message}` })
    expect(header(await host.request("function.js.talks", '{"lines":20000}'), "ce-type")).toBe("ok")
  })

  test("R-PL-5: nothing of the host's environment is inherited; env of the definition is", async () => {
    process.env.FN_TEST_SECRET = "of the host"
    await using host = await startTestHost()
    await host.deployModule("env", "export default () => ({ type: 'env', data: { ...process.env } })", { env: { COLOUR: "blue" } })
    expect((await host.request("function.js.env", "{}")).json()).toEqual({ COLOUR: "blue" })
    delete process.env.FN_TEST_SECRET
  })

  test("R-FN-3: concurrency is enforced, calls beyond it wait, calls beyond those are refused", async () => {
    await using host = await startTestHost({ limits: { waitFactor: 2 } })
    await host.deployModule(
      "gate",
      `let now = 0, most = 0
       export default async (event) => {
         now++; most = Math.max(most, now)
         await new Promise((resolve) => setTimeout(resolve, 50))
         now--
         return { type: 'most', data: most }
       }`,
      { concurrency: 2 },
    )
    const replies = await Promise.all(Array.from({ length: 10 }, () => host.request("function.js.gate", "{}")))
    const served = replies.filter((reply) => header(reply, "ce-type") === "most")
    expect(served).toHaveLength(6)
    expect(Math.max(...served.map((reply) => reply.json<number>()))).toBe(2)
    expect(new Set(replies.filter((reply) => !served.includes(reply)).map(failure))).toEqual(new Set(["resource_exhausted QUEUE_FULL"]))
  })

  test("R-DP-2: a redeploy swaps versions without failing a call, and the old process ends", async () => {
    await using host = await startTestHost()
    const version = (n: number): string =>
      `export default async () => { await new Promise((r) => setTimeout(r, 5)); return [{ type: 'v${n}' }, { type: 'v${n}' }] }`
    await host.deployModule("swap", version(1), { version: "1.0.0" })
    const types: string[][] = []
    let stop = false
    const caller = async (): Promise<void> => {
      while (!stop) types.push(((await host.request("function.js.swap", "{}")).json() as { type: string }[]).map(({ type }) => type))
    }
    const callers = [caller(), caller(), caller(), caller()]
    for (let n = 2; n <= 4; n++) {
      const served = types.length
      await until(() => types.length > served + 20, { name: "calls on the present version" })
      await host.deployModule("swap", version(n), { version: `${n}.0.0` })
      await until(() => types.at(-1)?.[0] === `v${n}`, { name: `version ${n} to answer` })
    }
    stop = true
    await Promise.all(callers)
    for (const pair of types) expect(pair[0]).toBe(pair[1])
    // One instance of the active version, and the spare.
    await until(() => processTree().filter(({ command }) => command.includes("module-host")).length <= 2, {
      name: "the old processes to end",
    })
  }, 20_000)

  test("R-RG-4: a delete stops the subject at once", async () => {
    await using host = await startTestHost()
    await host.deployModule("gone", ECHO)
    await host.request("function.js.gone", "{}")
    await host.registry.deleteFunction({ namespace: "default", name: "gone" })
    await until(
      async () => {
        try {
          await host.request("function.js.gone", "{}")
          return false
        } catch (thrown) {
          return String(thrown).includes("no responders")
        }
      },
      { name: "no responders" },
    )
  })

  test("R-SEC-4: a drain finishes what runs and takes nothing new", async () => {
    await using host = await startTestHost()
    await host.deployModule("slow", "export default async () => { await new Promise((r) => setTimeout(r, 300)); return { type: 'done' } }")
    const pending = host.request("function.js.slow", "{}")
    await until(() => host.runtime.status().running === 1, { name: "the call to run" })
    const drained = host.runtime.drain()
    expect(header(await pending, "ce-type")).toBe("done")
    await drained
    await expect(host.request("function.js.slow", "{}")).rejects.toThrow("no responders")
    expect(await host.runtime.closed).toBeUndefined()
  })

  test("an instance without calls is stopped, and started again by the next", async () => {
    await using host = await startTestHost({ limits: { idleMs: 50, spares: false } })
    await host.deployModule("idle", ECHO)
    const first = (await host.request("function.js.idle", "{}")).json() as { pid: number }
    await until(() => !isAlive(first.pid), { name: "the idle process to end" })
    const second = (await host.request("function.js.idle", "{}")).json() as { pid: number }
    expect(second.pid).not.toBe(first.pid)
  })
})
