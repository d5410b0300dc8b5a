import { decodeStructured, type WireEvent } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { type ProgramInput, stdinOf, variablesOf } from "./input.js"

function event(data: Uint8Array | string | undefined, more: Record<string, string | number | boolean> = {}): WireEvent {
  const attributes = { id: "e1", source: "/s", type: "t", specversion: "1.0", ...more }
  return { attributes, data: typeof data === "string" ? Buffer.from(data) : data }
}

function line(wire: WireEvent): string {
  return Buffer.concat(stdinOf(wire)).toString("utf8")
}

function input(overrides: Partial<ProgramInput> = {}): ProgramInput {
  const fn = { namespace: "default", name: "f", version: "1.0.0", instance: "i" }
  return { fn, config: {}, invocationId: "inv", attempt: 2, timeoutMs: 1234.5, event: event(undefined), ...overrides }
}

describe("what comes on stdin", () => {
  test.each<[string, WireEvent, string]>([
    ["no data", event(undefined), ""],
    ["JSON as it is", event('{"n":12345678901234567890}', { datacontenttype: "application/json" }), ',"data":{"n":12345678901234567890}'],
    ["JSON without a content type", event("[1]"), ',"data":[1]'],
    ["JSON laid out over lines, on one", event('{\n "a":\r\n "b\\n"}'), ',"data":{  "a":   "b\\n"}'],
    ["text in quotes", event('a\n"b"', { datacontenttype: "text/plain" }), ',"data":"a\\n\\"b\\""'],
    ["what says it is JSON and is none", event("{", { datacontenttype: "application/json" }), ',"data_base64":"ew=="'],
    ["text that is no UTF-8", event(Buffer.from([0xff]), { datacontenttype: "text/plain" }), ',"data_base64":"/w=="'],
    ["bytes", event(Buffer.from([1, 2]), { datacontenttype: "image/png" }), ',"data_base64":"AQI="'],
  ])("%s", (_, wire, expected) => {
    const written = line(wire)
    expect(written.replace(/^\{.*?"specversion":"1.0"(,"datacontenttype":"[^"]*")?/, "")).toBe(`${expected}}\n`)
    expect(written.indexOf("\n")).toBe(written.length - 1)
    expect(decodeStructured(Buffer.from(written)).attributes).toEqual(wire.attributes)
  })

  test("with stdin: data, the data alone, byte for byte", () => {
    expect(stdinOf(event("a\n"), "data")).toEqual([Buffer.from("a\n")])
    expect(stdinOf(event(undefined), "data")).toEqual([])
  })
})

describe("what stands in the environment", () => {
  test("the call and the attributes of its event", () => {
    const wire = event(undefined, { subject: "x y", traceparent: "00-1", count: 7, yes: true })
    expect(variablesOf(input({ event: wire, config: { a: { b: 1 } } }))).toEqual({
      CE_ID: "e1",
      CE_SOURCE: "/s",
      CE_TYPE: "t",
      CE_SPECVERSION: "1.0",
      CE_SUBJECT: "x y",
      CE_TRACEPARENT: "00-1",
      CE_COUNT: "7",
      CE_YES: "true",
      FN_NAMESPACE: "default",
      FN_NAME: "f",
      FN_VERSION: "1.0.0",
      FN_INVOCATION_ID: "inv",
      FN_ATTEMPT: "2",
      FN_TIMEOUT_MS: "1234",
      FN_CONFIG: '{"a":{"b":1}}',
    })
    expect(variablesOf(input({ timeoutMs: Number.POSITIVE_INFINITY }))).not.toHaveProperty("FN_TIMEOUT_MS")
  })

  test("an attribute that no variable can hold is on stdin only", () => {
    const long = "x".repeat(9_000)
    const many = Object.fromEntries(Array.from({ length: 50 }, (_, at) => [`e${at}`, "y".repeat(8_000)]))
    const variables = variablesOf(input({ event: event(undefined, { subject: long, nul: "a\0b", ...many }) }))
    expect(variables).not.toHaveProperty("CE_SUBJECT")
    expect(variables).not.toHaveProperty("CE_NUL")
    expect(Object.values(variables).join("").length).toBeLessThan(70_000)
    expect(line(event(undefined, { subject: long }))).toContain(long)
  })
})
