import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { errorReport, formatError } from "./report.js"
import { createStyle, formatBytes, formatMs, formatTable, wantsColour } from "./style.js"

describe("an error", () => {
  test("says what happened, why, and what to do next", () => {
    const error = FnError.of("FUNCTION_NOT_FOUND", "no function default/nope is deployed")
    expect(formatError(error, createStyle(false)).split("\n")).toEqual([
      "error: no function default/nope is deployed",
      "  why:  FUNCTION_NOT_FOUND (not_found)",
      "  next: Deploy the function, or correct its name (fn list shows them).",
      "  more: docs/errors.md#function_not_found",
    ])
  })

  test("of several lines keeps them, and a function's own reason has no advice of ours", () => {
    const text = formatError(FnError.terminal("CARD_DECLINED", "declined\nby the bank"), createStyle(false))
    expect(text).toBe("error: declined\n  by the bank\n  why:  CARD_DECLINED (failed_precondition)")
  })

  test("for machines has what travels and the advice, never a stack", () => {
    const report = errorReport(FnError.of("NO_HOST", "nobody", { cause: new Error("inner") }))
    expect(report).toEqual({
      code: "unavailable",
      reason: "NO_HOST",
      message: "nobody",
      retryable: true,
      todo: expect.any(String),
      docs: "docs/errors.md#no_host",
    })
  })
})

describe("style", () => {
  test("only a terminal gets colours, and not with NO_COLOR or a dumb terminal", () => {
    const terminal = { write: () => true, isTTY: true }
    expect(wantsColour(terminal, {})).toBe(true)
    expect(wantsColour(terminal, { NO_COLOR: "1" })).toBe(false)
    expect(wantsColour(terminal, { NO_COLOR: "" })).toBe(true)
    expect(wantsColour(terminal, { TERM: "dumb" })).toBe(false)
    expect(wantsColour({ write: () => true }, {})).toBe(false)
    expect(createStyle(true).red("x")).toBe("\x1b[31mx\x1b[39m")
  })

  test("tables, sizes and durations are short", () => {
    expect(
      formatTable([
        ["A", "LONG"],
        ["longer", "b"],
      ]),
    ).toBe("A       LONG\nlonger  b")
    expect([512, 12_345, 4_000_000].map(formatBytes)).toEqual(["512 B", "12.3 KB", "4.0 MB"])
    expect([0.42, 31.4, 2_100].map(formatMs)).toEqual(["0.4 ms", "31 ms", "2.1 s"])
  })
})
