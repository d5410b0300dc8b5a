import { FnError } from "@fn/core"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { CircuitBreaker, showsLife } from "./circuit-breaker.js"

const crash = FnError.of("FUNCTION_CRASHED", "exit code 3")

function breaker(options: Partial<ConstructorParameters<typeof CircuitBreaker>[0]> = {}) {
  const phases: string[] = []
  const made = new CircuitBreaker({ failures: 3, initialMs: 10_000, maxMs: 60_000, ...options }, ({ phase }) => phases.push(phase))
  const fail = (times: number): void => {
    for (let i = 0; i < times; i++) made.failed(crash)
  }
  return { made, phases, fail, [Symbol.dispose]: () => made.close() }
}

/** Time until it is tried again, ms. */
function restOf(made: CircuitBreaker): number {
  return Date.parse(made.status()?.retryAt ?? "") - Date.now()
}

describe("R-IV-8: the circuit breaker of a version", () => {
  test("opens after so many failures in a row, and says why and until when", () => {
    using it = breaker()
    it.fail(2)
    expect([it.made.phase, it.made.status()]).toEqual(["closed", undefined])
    it.fail(1)
    expect(it.made.isOpen).toBe(true)
    expect(it.made.status()).toMatchObject({ phase: "open", error: { reason: "FUNCTION_CRASHED", message: "exit code 3" } })
    expect(it.made.refusal("default/f")).toMatchObject({ code: "unavailable", reason: "CIRCUIT_OPEN", retryable: true })
    expect(it.made.refusal("default/f").message).toContain("FUNCTION_CRASHED: exit code 3")
    it.fail(5)
    expect(it.phases).toEqual(["open"])
  })

  test("a success in between starts the count anew; one that comes while it is open changes nothing", () => {
    using it = breaker()
    it.fail(2)
    it.made.succeeded()
    it.fail(2)
    expect(it.made.phase).toBe("closed")
    it.fail(1)
    it.made.succeeded()
    expect(it.made.phase).toBe("open")
  })

  test("after its rest a success closes it", async () => {
    using it = breaker({ initialMs: 1 })
    it.fail(3)
    await until(() => it.made.phase === "half-open", { name: "the end of the rest" })
    expect(it.made.status()).toMatchObject({ phase: "half-open" })
    it.made.succeeded()
    expect(it.phases).toEqual(["open", "half-open", "closed"])
    it.fail(2)
    expect(it.made.phase).toBe("closed")
  })

  test("after its rest one failure opens it again, each time for twice as long, up to the most", async () => {
    using it = breaker({ initialMs: 20, maxMs: 80 })
    it.fail(3)
    const longest: number[] = []
    for (let round = 0; round < 4; round++) {
      await until(() => it.made.phase === "half-open", { name: "the end of the rest" })
      it.fail(1)
      expect(it.made.phase).toBe("open")
      longest.push(restOf(it.made))
    }
    // A quarter more or less.
    expect(longest[0]).toBeLessThanOrEqual(40 * 1.25)
    expect(longest[3]).toBeGreaterThan(80 * 0.75 - 30)
    expect(longest[3]).toBeLessThanOrEqual(80 * 1.25)
  })

  test("with 0 failures it never opens, and once closed for good it changes no more", async () => {
    using never = breaker({ failures: 0 })
    never.fail(100)
    expect(never.phases).toEqual([])
    const over = breaker({ initialMs: 1 })
    over.made.close()
    over.fail(3)
    expect(over.phases).toEqual([])
  })

  test("what came out of the function shows that it runs; a crash or a time-out does not", () => {
    expect(showsLife(FnError.of("FUNCTION_THREW", "no"))).toBe(true)
    expect(showsLife(FnError.terminal("CARD_DECLINED", "no"))).toBe(true)
    for (const reason of ["FUNCTION_CRASHED", "PLUGIN_EXITED", "MEMORY_LIMIT", "FUNCTION_TIMEOUT", "CANCELLED"] as const)
      expect([reason, showsLife(FnError.of(reason, "x"))]).toEqual([reason, false])
  })
})
