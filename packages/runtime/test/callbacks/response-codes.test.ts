import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, test } from "@jest/globals"
import { CALLBACK_RETRY, callbackDelayMs, errorOfStatus } from "../../src/callbacks/response-codes.js"

describe("R-IV-8: what an answer to a callback means", () => {
  test.each([200, 201, 202, 204, 299])("%i: delivered", (status) => {
    expect(errorOfStatus(status, undefined)).toBeUndefined()
  })

  test.each([408, 425, 429, 500, 502, 503, 504, 599])("%i: tried again", (status) => {
    expect(errorOfStatus(status, undefined)).toMatchObject({ reason: "CALLBACK_FAILED", retryable: true, details: { status } })
  })

  test.each([301, 302, 303, 307, 308, 400, 401, 403, 404, 405, 409, 410, 413, 422, 451])("%i: given up", (status) => {
    expect(errorOfStatus(status, "10")).toMatchObject({ reason: "CALLBACK_FAILED", retryable: false, retryAfterMs: undefined })
  })

  test("Retry-After is heeded in both its forms, up to a quarter of an hour", () => {
    const now = Date.parse("2026-01-02T03:04:05Z")
    const delay = (retryAfter: string): number => {
      const error = errorOfStatus(429, retryAfter, now)
      if (!error) throw new Error("429 is an error")
      return callbackDelayMs(error, 1, CALLBACK_RETRY, 0.5)
    }
    expect(delay("120")).toBe(120_000)
    expect(delay("Fri, 02 Jan 2026 03:09:05 GMT")).toBe(300_000)
    expect(delay("86400")).toBe(900_000)
    for (const less of ["0", "3", "junk", "-5", "Fri, 02 Jan 2026 03:00:00 GMT"]) expect(delay(less)).toBe(10_000)
  })

  test("ten attempts take about an hour", () => {
    const error = errorOfStatus(503, undefined)
    if (!error) throw new Error("503 is an error")
    let totalMs = 0
    for (let attempt = 1; attempt < CALLBACK_RETRY.attempts; attempt++) totalMs += callbackDelayMs(error, attempt, CALLBACK_RETRY, 0.5)
    expect(totalMs).toBeGreaterThan(45 * 60_000)
    expect(totalMs).toBeLessThan(75 * 60_000)
    expect(callbackDelayMs(error, 3, CALLBACK_RETRY, 0)).toBe(38_000)
    expect(callbackDelayMs(error, 3, CALLBACK_RETRY, 1)).toBe(42_000)
  })
})

describe("the table in docs/protocol.md", () => {
  const page = readFileSync(fileURLToPath(new URL("../../../../docs/protocol.md", import.meta.url)), "utf8")
  const [, table = ""] = /\| response code \| \|\n\|---\|---\|\n((?:\|.*\n)+)/.exec(page) ?? []
  const rows = table
    .trim()
    .split("\n")
    .map((row) => row.split("|").map((cell) => cell.trim()))

  /** What the table says of a status. */
  function documented(status: number): string {
    const row = rows.find(([, codes]) =>
      codes?.split(", ").some((range) => {
        const [from, to = from] = range.split("–").map(Number) as [number, number?]
        return status >= from && status <= (to as number)
      }),
    )
    const [, , outcome = ""] = row ?? rows.find(([, codes]) => codes === "all others") ?? []
    return outcome.split(":")[0] as string
  }

  test("R-IV-8: says of every response code what is done", () => {
    expect(rows.length).toBeGreaterThanOrEqual(4)
    for (let status = 200; status < 600; status++) {
      const error = errorOfStatus(status, undefined)
      expect([status, documented(status)]).toEqual([status, !error ? "delivered" : error.retryable ? "tried again" : "given up"])
    }
  })
})
