import { describe, expect, test } from "@jest/globals"
import { type ProgramEnd, programError } from "./program-error.js"

function end(overrides: Partial<ProgramEnd> = {}): ProgramEnd {
  return { code: 1, stderr: "", stdout: "", failure: undefined, ...overrides }
}

describe("what an exit code means", () => {
  test("a failure is FUNCTION_THREW with the last lines of stderr, else of stdout, else the code", () => {
    expect(programError(end({ code: 3, stderr: "a\nb\n" })).toData()).toEqual({
      code: "unknown",
      reason: "FUNCTION_THREW",
      message: "a\nb",
      retryable: false,
      details: { exitCode: 3, stderr: "a\nb" },
    })
    expect(programError(end({ stdout: "PHP Fatal error" })).message).toBe("PHP Fatal error")
    expect(programError(end({ code: 7 })).message).toBe("exit code 7")
    const long = programError(end({ stderr: `${"x".repeat(100_000)}\n1\n2\n3\n4\n5\n` }))
    expect(long.message).toBe("1\n2\n3\n4\n5")
    expect(String(long.details?.stderr).length).toBeLessThanOrEqual(2_000)
  })

  test("65 says that the event is wrong, which no retry mends", () => {
    expect(programError(end({ code: 65, stderr: "no name in it" }))).toMatchObject({
      code: "invalid_argument",
      reason: "INVALID_EVENT",
      message: "no name in it",
    })
  })

  test.each<[Record<string, unknown>, Record<string, unknown>]>([
    [{ message: "m" }, { code: "unknown", reason: "FUNCTION_THREW", message: "m", retryable: false }],
    [{ reason: "NO_STOCK" }, { code: "unknown", reason: "NO_STOCK", message: "NO_STOCK" }],
    [
      { message: "m", retryable: false },
      { code: "failed_precondition", retryable: false },
    ],
    [
      { reason: "R", message: "m", retryable: false, details: { a: 1 } },
      { code: "failed_precondition", reason: "R", details: { a: 1 } },
    ],
    [
      { message: "m", retryable: true },
      { code: "unknown", retryable: true },
    ],
    [
      { message: "m", retryAfterMs: 500 },
      { code: "unavailable", retryAfterMs: 500, retryable: true },
    ],
    [{ message: "m", code: "not_found" }, { code: "not_found" }],
    [
      { message: "m", code: "nonsense", retryAfterMs: -1, reason: 7 },
      { code: "unknown", reason: "FUNCTION_THREW", retryAfterMs: undefined },
    ],
  ])("%j is the author's own word", (failure, expected) => {
    expect(programError(end({ failure }))).toMatchObject(expected)
  })
})
