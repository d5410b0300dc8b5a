import { createLogger } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { formatHclogLine, HclogReader } from "./hclog.js"
import { createHclogLogger } from "./hclog-logger.js"
import { StderrLog } from "./stderr-log.js"

/** What reaches the logger when a plugin's stderr has these lines. */
function logged(...lines: string[]): Array<[string, string, Readonly<Record<string, unknown>>]> {
  const seen: Array<[string, string, Readonly<Record<string, unknown>>]> = []
  const log = new StderrLog(createLogger((level, message, fields) => seen.push([level, message, fields])))
  log.push(Buffer.from(lines.map((line) => `${line}\n`).join("")))
  log.end()
  return seen
}

describe("H40 stderr of a plugin, as a go-plugin host reads it", () => {
  const pairs = `{"@level":"warn","@message":"six digits","@timestamp":"2026-11-20T19:00:00.123456Z","@module":"m.sub","@caller":"f.go:1","k":1,"arr":[1,2],"obj":{"a":1}}`
  test.each([
    [pairs, "warn", "six digits"],
    [`{"@level":"warn","@message":"three digits","@timestamp":"2026-11-20T19:00:00.123Z"}`, "warn", "three digits"],
    [`{"@level":"warn","@message":"offset","@timestamp":"2026-11-20T19:00:00.123456+02:00"}`, "warn", "offset"],
    [`{"@level":"warn","@message":"no timestamp"}`, "warn", "no timestamp"],
    [`{"@level":"WARN","@message":"upper level"}`, "warn", "upper level"],
    [`{"@level":"info","@message":123}`, "info", "123"],
    [`{"@level":"info"}`, "info", ""],
    ["[TRACE] t", "trace", "[TRACE] t"],
    ["[DEBUG] d", "debug", "[DEBUG] d"],
    ["[INFO] i", "info", "[INFO] i"],
    ["[WARN] w", "warn", "[WARN] w"],
    ["[ERROR] e", "error", "[ERROR] e"],
  ])("%s", (line, level, message) => {
    expect(logged(line)).toEqual([[level, message, expect.anything()]])
  })

  test.each([
    `{"@level":"warning","@message":"x"}`,
    `{"@level":"fatal","@message":"x"}`,
    `{"@message":"x"}`,
    `{"foo":"bar"}`,
    `{"@level":7,"@message":"x"}`,
    `{"@level":"info","@message":"x","@timestamp":"yesterday"}`,
    "{ not json",
    "[1,2]",
    "42",
    "null",
    `"str"`,
    "[ERR] err",
    " [ERROR] x",
    "2026/11/20 19:00:00 [ERROR] x",
    "",
  ])("%j stays as it is, at debug", (line) => {
    expect(logged(line)).toEqual([["debug", line, {}]])
  })

  test("pairs, module and caller become fields", () => {
    expect(logged(pairs)[0]?.[2]).toEqual({
      k: 1,
      arr: [1, 2],
      obj: { a: 1 },
      module: "m.sub",
      caller: "f.go:1",
      timestamp: "2026-11-20T19:00:00.123456Z",
    })
  })

  test("from a panic on plain lines are errors, to the end of the stream; others keep their level", () => {
    const levels = logged(
      "before",
      "panic: boom",
      "",
      "goroutine 1 [running]:",
      "[INFO] after panic",
      `{"@level":"info","@message":"json after panic"}`,
      "plain after panic",
    ).map(([level]) => level)
    expect(levels).toEqual(["debug", "error", "error", "error", "info", "info", "error"])
    expect(logged("fatal error: all goroutines are asleep", "then").map(([level]) => level)).toEqual(["error", "error"])
  })

  test("H41 a line of 70 000 bytes comes in two pieces at debug, and the next is whole again", () => {
    const seen = logged("q".repeat(70_000), "[WARN] next")
    expect(seen.map(([level, text]) => [level, text.length])).toEqual([
      ["debug", 65_536],
      ["debug", 4_464],
      ["warn", 11],
    ])
  })

  test("lines and characters cut anywhere come out whole, the last without its line break too", () => {
    const text = "žluťoučký kůň 🐎\r\npanic: ne\núpěl"
    const bytes = Buffer.from(text)
    fc.assert(
      fc.property(fc.array(fc.nat({ max: bytes.length })), (cuts) => {
        const lines: string[] = []
        const log = new StderrLog(createLogger((_level, message) => lines.push(message)))
        const at = [0, ...cuts.sort((a, b) => a - b), bytes.length]
        for (let i = 1; i < at.length; i++) log.push(bytes.subarray(at[i - 1], at[i]))
        log.end()
        expect(lines).toEqual(["žluťoučký kůň 🐎", "panic: ne", "úpěl"])
        expect(log.tail()).toBe(text)
      }),
    )
  })

  test("the tail keeps the last 64 KiB", () => {
    const log = new StderrLog(createLogger(() => undefined))
    for (let i = 0; i < 5_000; i++) log.push(Buffer.from(`${String(i).padStart(99, "0")}\n`))
    expect(log.tail()).toHaveLength(65_536)
    expect(log.tail().endsWith("4999\n")).toBe(true)
  })

  test("no line throws", () => {
    const reader = new HclogReader()
    fc.assert(fc.property(fc.oneof(fc.string(), fc.json()), (line) => void reader.read(line)))
  })
})

describe("P26 P27 lines for a go-plugin host", () => {
  const at = Date.parse("2026-11-20T19:00:00.123Z")

  test("a line has level, message, module and a time stamp with six digits", () => {
    expect(JSON.parse(formatHclogLine({ level: "warn", message: "m", module: "kv.sub", fields: { k: 1 }, at }))).toEqual({
      "@level": "warn",
      "@message": "m",
      "@module": "kv.sub",
      "@timestamp": "2026-11-20T19:00:00.123000Z",
      k: 1,
    })
  })

  test("whatever the fields are, it is one line below 64 KiB with string message, known level and own @ keys", () => {
    fc.assert(
      fc.property(fc.string(), fc.dictionary(fc.string(), fc.anything({ withBigInt: true, withDate: true })), (message, fields) => {
        const line = formatHclogLine({ level: "info", message, fields, at })
        expect(line.indexOf("\n")).toBe(line.length - 1)
        expect(Buffer.byteLength(line)).toBeLessThan(65_536)
        const record = JSON.parse(line) as Record<string, unknown>
        expect(record["@level"]).toBe("info")
        expect(record["@timestamp"]).toBe("2026-11-20T19:00:00.123000Z")
        expect(record["@message"]).toBe(message)
      }),
    )
  })

  test("an error shows its stack, a huge value is cut, a cycle is left out", () => {
    const cycle: { self?: unknown } = {}
    cycle.self = cycle
    const shown = JSON.parse(
      formatHclogLine({ level: "error", message: "m", fields: { error: new Error("why"), long: "l".repeat(100_000) } }),
    )
    expect(shown.error).toMatch(/^Error: why\n\s+at /)
    expect(shown.long).toContain("(100000 characters)")
    expect(JSON.parse(formatHclogLine({ level: "error", message: "m", fields: { cycle } }))).toMatchObject({
      fields_dropped: "not serializable",
    })
    const many = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`k${i}`, "v".repeat(10_000)]))
    expect(JSON.parse(formatHclogLine({ level: "error", message: "m", fields: many }))).toMatchObject({
      "@message": "m",
      fields_dropped: "too large",
    })
  })

  test("what the logger writes is read back at the same level, unless it is below the least", () => {
    const written: string[] = []
    const logger = createHclogLogger({ name: "kv", level: "info", write: (line) => written.push(line) })
    logger.child({ a: 1 }).warn("careful", { b: 2 })
    logger.debug("quiet")
    expect(written).toHaveLength(1)
    expect(new HclogReader().read((written[0] as string).trimEnd())).toMatchObject({
      level: "warn",
      message: "careful",
      fields: { a: 1, b: 2, module: "kv" },
    })
  })
})
