import { FnError, Header } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { startQueuePlatform } from "./support.js"

describe("R-IV-6: what was stored in the queue", () => {
  test("runs, and its result can be read by its id", async () => {
    await using platform = await startQueuePlatform({
      builtins: { double: (event, ctx) => ({ type: "doubled", data: { n: (event.data as { n: number }).n * 2, attempt: ctx.attempt } }) },
    })
    await platform.deploy("double")
    const id = await platform.enqueue("double", { data: '{"n":21}' })
    const result = await platform.result(id)
    expect(JSON.parse(result.text)).toEqual({ n: 42, attempt: 1 })
    expect(result.headers.get("ce-type")).toBe("doubled")
    expect(result.headers.get(Header.attempt)).toBe("1")
    expect(result.headers.get(Header.version)).toBe("0.0.1")
    await until(async () => (await platform.depth()) === 0, { name: "the acknowledgement" })
  }, 60_000)

  test("runs again after a failure, with the number of its attempt", async () => {
    const attempts: number[] = []
    await using platform = await startQueuePlatform({
      builtins: {
        flaky: (_event, ctx) => {
          attempts.push(ctx.attempt)
          if (ctx.attempt < 3) throw new Error("not yet")
          return { type: "ok" }
        },
      },
    })
    await platform.deploy("flaky", { retry: { initialMs: 20 } })
    const result = await platform.result(await platform.enqueue("flaky"))
    expect(result.failure).toBeUndefined()
    expect(attempts).toEqual([1, 2, 3])
  }, 60_000)

  test("is given up after a permanent error, at once", async () => {
    let runs = 0
    await using platform = await startQueuePlatform({
      builtins: {
        hopeless: () => {
          runs++
          throw FnError.terminal("NO_SUCH_ORDER", "there is no such order")
        },
      },
    })
    await platform.deploy("hopeless")
    const id = await platform.enqueue("hopeless")
    expect((await platform.result(id)).failure).toBe("failed_precondition NO_SUCH_ORDER")
    const [letter] = await until(
      async () => {
        const letters = await platform.messages("FUNCTION_DLQ", "function.dlq.default.hopeless")
        return letters.length > 0 && letters
      },
      { name: "the dead letter" },
    )
    expect(letter?.text).toBe('{"n":1}')
    expect(letter?.headers.get(Header.dlqReason)).toBe("NO_SUCH_ORDER")
    expect(letter?.headers.get(Header.invocationId)).toBe(id)
    expect(runs).toBe(1)
  }, 60_000)
})
