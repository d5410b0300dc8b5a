import { CODES, type Code, FnError, REASONS, type Reason } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { exitCodeOf } from "./exit-code.js"

const REASON_CODES: readonly (readonly [Reason, number])[] = [
  ["FUNCTION_THREW", 1],
  ["FUNCTION_CRASHED", 1],
  ["CRASH_LOOP", 1],
  ["BUILD_FAILED", 1],
  ["TOOLCHAIN_MISSING", 1],
  ["VERSION_EXISTS", 1],
  ["INVALID_DEFINITION", 2],
  ["INVALID_EVENT", 2],
  ["FOLDER_NOT_EMPTY", 2],
  ["NOT_CONFIRMED", 2],
  ["FUNCTION_NOT_FOUND", 3],
  ["VERSION_NOT_FOUND", 3],
  ["NATS_UNREACHABLE", 4],
  ["NATS_AUTH", 4],
  ["NO_HOST", 4],
  ["NOT_SET_UP", 4],
  ["JETSTREAM_OFF", 4],
  ["STORAGE_FULL", 4],
  ["PORT_IN_USE", 4],
  ["DATA_DIR_IN_USE", 4],
  ["DEADLINE_EXCEEDED", 5],
  ["FUNCTION_TIMEOUT", 5],
  ["CANCELLED", 130],
]

describe("exit codes", () => {
  test.each(REASON_CODES)("%s ends with %i", (reason, exitCode) => {
    expect(exitCodeOf(FnError.of(reason, "it happened"))).toBe(exitCode)
  })

  test("a function's own terminal error is its failure, and so is one that asks for a retry", () => {
    expect(exitCodeOf(FnError.terminal("CARD_DECLINED", "no"))).toBe(1)
    expect(exitCodeOf(FnError.retryAfter(1000))).toBe(1)
  })

  test("every code and every reason has an exit code, and none is 0", () => {
    for (const code of Object.keys(CODES) as Code[]) expect(exitCodeOf(new FnError(code, "x"))).toBeGreaterThan(0)
    for (const reason of Object.keys(REASONS) as Reason[]) expect(exitCodeOf(FnError.of(reason, "x"))).toBeGreaterThan(0)
  })
})
