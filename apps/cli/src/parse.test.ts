import { describe, expect, test } from "@jest/globals"
import { parseBytes, parseCount, parseDuration, parsePort, parseTime } from "./parse.js"

describe("values of options", () => {
  test("sizes take decimal and binary units", () => {
    expect(["1000000", "512MiB", "2GB", "1.5 kib", "10b"].map(parseBytes)).toEqual([1_000_000, 536_870_912, 2_000_000_000, 1536, 10])
    for (const text of ["", "0", "-1", "MB", "5 parsec", "1e99GB"]) expect(() => parseBytes(text)).toThrow()
  })

  test("lengths of time have a unit", () => {
    expect(["500ms", "90s", "1.5m", "24 h", "7d"].map(parseDuration)).toEqual([500, 90_000, 90_000, 86_400_000, 604_800_000])
    for (const text of ["", "5", "0s", "-1s", "1w", "1H", "x"]) expect(() => parseDuration(text)).toThrow()
  })

  test("times have a zone", () => {
    const times = ["2030-01-31T08:00:00Z", "2030-01-31T09:00:00.5+01:00"].map((text) => parseTime(text).toISOString())
    expect(times).toEqual(["2030-01-31T08:00:00.000Z", "2030-01-31T08:00:00.500Z"])
    for (const text of ["", "tomorrow", "2030-01-31", "2030-01-31T08:00:00", "2030-13-31T08:00:00Z"])
      expect(() => parseTime(text)).toThrow()
  })

  test("ports go from 0 to 65535", () => {
    expect(["0", "65535"].map(parsePort)).toEqual([0, 65_535])
    for (const text of ["", " ", "65536", "-1", "x", "1.5"]) expect(() => parsePort(text)).toThrow()
  })

  test("counts are whole and positive", () => {
    expect(parseCount("3")).toBe(3)
    for (const text of ["0", "-1", "1.5", "x", ""]) expect(() => parseCount(text)).toThrow()
  })
})
