import type { FunctionModule } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, jest, test } from "@jest/globals"
import { StreamCall } from "../streaming/stream-caller.js"
import { failure } from "../test-host.js"
import { startTestHosts, type TestHosts } from "./hosts.js"

jest.setTimeout(30_000)

/** A builtin that counts, saying where, and holds its slot in the middle until it is let go. */
class Counting {
  readonly started: string[] = []
  #go: () => void = () => undefined
  readonly #gone = new Promise<void>((resolve) => {
    this.#go = resolve
  })

  on(host: string): FunctionModule["execute"] {
    const { started } = this
    const gone = this.#gone
    return async function* () {
      started.push(host)
      for (let at = 0; at < 100; at++) yield { type: host, data: at }
      await gone
      for (let at = 100; at < 200; at++) yield { type: host, data: at }
    }
  }

  go(): void {
    this.#go()
  }
}

function stream(hosts: TestHosts): StreamCall {
  return new StreamCall(hosts.nc, "function.js.counting", { type: "count", data: {} }, { headers: { "Fn-Accept": "started, stream" } })
}

describe("R-IV-5: streams that find no free slot", () => {
  test("go on to a host that has one, which streams them to their caller", async () => {
    await using hosts = await startTestHosts()
    const counting = new Counting()
    const a = await hosts.start("a", { counting: counting.on("a") })
    await hosts.deploy("counting", { concurrency: 1 })
    using first = stream(hosts)
    await first.atLeast(100)
    using second = stream(hosts)
    await until(() => a.runtime.status().functions[0]?.waiting === 1, { name: "the second to wait" })
    await hosts.start("b", { counting: counting.on("b") })
    await second.atLeast(100)
    expect(counting.started).toEqual(["a", "b"])
    expect(second.started).toContain("b")
    counting.go()
    for (const [call, host] of [
      [first, "a"],
      [second, "b"],
    ] as const) {
      expect(await call.ended()).toMatchObject({ seq: 201, end: "ok" })
      expect(call.events.map(({ type, data }) => [type, data])).toEqual(Array.from({ length: 200 }, (_, n) => [host, n]))
    }
  })

  test("are never stored: past the bounded wait they are refused, as streams are", async () => {
    await using hosts = await startTestHosts()
    const counting = new Counting()
    await hosts.start("a", { counting: counting.on("a") }, { limits: { waitFactor: 0 } })
    await hosts.deploy("counting", { concurrency: 1 })
    using first = stream(hosts)
    await first.atLeast(100)
    using second = stream(hosts)
    const end = await second.ended()
    expect([end.seq, end.end, failure(end.msg)]).toEqual([1, "error", "resource_exhausted QUEUE_FULL"])
    counting.go()
    expect((await first.ended()).end).toBe("ok")
    expect(counting.started).toEqual(["a"])
  })
})
