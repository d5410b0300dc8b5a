import type { WireEvent } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { OutputReader } from "./output-reader.js"

const DEFAULTS = { source: "/functions/default/f", type: "fn.result", maxBytes: 1_000_000 }

function read(output: string | Uint8Array, cuts: readonly number[] = [], maxBytes = DEFAULTS.maxBytes): WireEvent[] {
  const bytes = Buffer.from(output as string)
  const reader = new OutputReader({ ...DEFAULTS, maxBytes })
  const places = [...new Set([0, ...cuts.map((cut) => cut % (bytes.length + 1)), bytes.length])].sort((a, b) => a - b)
  const chunks = places.slice(1).map((end, at) => bytes.subarray(places[at] as number, end))
  return [...chunks.flatMap((chunk) => reader.push(chunk)), ...reader.end()]
}

/** Attributes but those that are new each time, and data as text. */
function plain(events: readonly WireEvent[]): unknown[] {
  return events.map(({ attributes: { id: _id, time: _time, specversion: _version, source, ...rest }, data }) => ({
    ...rest,
    ...(source === DEFAULTS.source ? {} : { source }),
    ...(data === undefined ? {} : { data: Buffer.from(data).toString("utf8") }),
  }))
}

const json = (data: string, type = "fn.result"): unknown => ({ type, datacontenttype: "application/json", data })
const text = (data: string): unknown => ({ type: "fn.result", datacontenttype: "text/plain", data })

describe("what a program writes to stdout", () => {
  test.each<[string, string, unknown[]]>([
    ["nothing", "", []],
    ["white space alone", " \n\t\r\n", []],
    ["a word", "hello\n", [text("hello")]],
    ["a word without a line break", "hello", [text("hello")]],
    ["several lines are one text", "a\nb\r\n", [text("a\nb")]],
    ["leading white space of a text stays", "  a\n", [text("  a")]],
    ["a number", "42\n", [json("42")]],
    ["a quoted string", '"x"\n', [json('"x"')]],
    ["lines of numbers", "1\n2\n", [text("1\n2")]],
    ["an object without a type is data", '{"a":1}\n', [json('{"a":1}')]],
    ["data keeps its digits and order", '{"z":12345678901234567890,"a":1.0}', [json('{"z":12345678901234567890,"a":1.0}')]],
    ["a type among other members is data", '{"type":"cat","name":"Tom"}', [json('{"type":"cat","name":"Tom"}')]],
    ["a type that is no text is data", '{"type":1}', [json('{"type":1}')]],
    ["an event of type and data", '{"type":"a.b","data":{"n":1.0}}', [json('{"n":1.0}', "a.b")]],
    ["an event without data", '{"type":"a.b"}', [{ type: "a.b" }]],
    ["null data is JSON's null", '{"type":"a.b","data":null}', [json("null", "a.b")]],
    ["an extension needs specversion", '{"specversion":"1.0","type":"a.b","trace":"t","gone":null}', [{ type: "a.b", trace: "t" }]],
    ["specversion alone makes an event", '{"specversion":"1.0"}', [{ type: "fn.result" }]],
    [
      "text data",
      '{"type":"a.b","datacontenttype":"text/html","data":"<b>\\n"}',
      [{ type: "a.b", datacontenttype: "text/html", data: "<b>\n" }],
    ],
    ["a string of JSON type stays JSON", '{"type":"a.b","data":"x"}', [json('"x"', "a.b")]],
    ["binary data", '{"type":"a.b","data_base64":"aGk="}', [{ type: "a.b", datacontenttype: "application/octet-stream", data: "hi" }]],
    ["null data_base64 is none", '{"type":"a.b","data_base64":null,"data":1}', [json("1", "a.b")]],
    ["lines of JSON", '{"a":1}\n{"type":"t","data":2}\n', [json('{"a":1}'), json("2", "t")]],
    ["JSON laid out over lines, as jq prints it", '{\n  "a": 1\n}\n{\n  "a": 2\n}\n', [json('{\n  "a": 1\n}'), json('{\n  "a": 2\n}')]],
    ["an array of events", '[{"type":"a"},{"type":"b","data":1}]', [{ type: "a" }, json("1", "b")]],
    ["an empty array", "[]\n", []],
    ["an array of something else is data", '[1,{"type":"a"}]', [json('[1,{"type":"a"}]')]],
    ["brackets and quotes in strings", '{"a":"}\\"]{"}\n{"b":"\\\\"}', [json('{"a":"}\\"]{"}'), json('{"b":"\\\\"}')]],
    ["a byte order mark is no part of it", '\ufeff{"a":1}', [json('{"a":1}')]],
    ["a byte order mark before text", "\ufeffhello", [text("hello")]],
    ["what looks like a failure is data when the program ends well", '{"error":{"message":"m"}}', [json('{"error":{"message":"m"}}')]],
    ["and keeps its place", '{"error":{"message":"m"}}{"type":"t"}', [json('{"error":{"message":"m"}}'), { type: "t" }]],
  ])("%s", (_, output, expected) => {
    expect(plain(read(output))).toEqual(expected)
  })

  test("what an event says of itself stays, the rest is filled in", () => {
    const own = { id: "i", source: "/s", type: "t", specversion: "1.0", time: "2026-11-20T00:00:00Z", subject: "x", n: 7, yes: true }
    expect(read(JSON.stringify(own))).toEqual([{ attributes: own, data: undefined }])
    const [filled] = read('{"type":"t"}')
    expect(filled?.attributes).toMatchObject({
      source: "/functions/default/f",
      specversion: "1.0",
      id: expect.stringMatching(/^[\w-]{22}$/),
    })
    expect(Date.parse(filled?.attributes.time as string)).toBeGreaterThan(0)
  })

  test("bytes that are no text are data as they are", () => {
    const bytes = Buffer.from([0x89, 0x50, 0xff, 0x0d, 0x0a])
    expect(read(bytes)).toMatchObject([{ attributes: { datacontenttype: "application/octet-stream" } }])
    expect(read(Buffer.from([0xef, 0xbb]))).toMatchObject([{ attributes: { datacontenttype: "application/octet-stream" } }])
  })

  test.each([
    ["JSON that is cut short", '{"a":1', /cut short/],
    ["an object that is none", "{hello}", /no JSON, at byte 1/],
    ["a word behind an event", '{"type":"a"}\ndone\n', /neither an object nor an array/],
    ["a wrong specversion", '{"specversion":"0.3","type":"a"}', /specversion/],
    ["an attribute with a bad name", '{"specversion":"1.0","type":"a","Not_Ok":1}', /Not_Ok/],
    ["an attribute called __proto__", '{"specversion":"1.0","type":"a","__proto__":{"x":1}}', /__proto__/],
    ["an attribute that is an object", '{"specversion":"1.0","type":"a","ext":{}}', /ext/],
    ["an empty type", '{"type":""}', /type/],
    ["a bad time", '{"type":"a","time":"yesterday"}', /time/],
    ["data twice", '{"type":"a","data":1,"data_base64":"aGk="}', /data and data_base64/],
    ["base64 that is none", '{"type":"a","data_base64":"%"}', /base64/],
    ["an array with events and something else", '[{"specversion":"1.0","type":"a"},1]', /something else/],
    ["a hundred attributes", `{"specversion":"1.0",${Array.from({ length: 200 }, (_, at) => `"a${at}":1`)}}`, /too many/],
  ])("%s is BAD_OUTPUT", (_, output, why) => {
    expect(() => read(output)).toThrow(expect.objectContaining({ reason: "BAD_OUTPUT", message: expect.stringMatching(why) }))
  })

  test("how it is cut into chunks makes no difference", () => {
    const outputs = [
      '{"a":"\\u00e9\\\\\\""} [{"type":"x","data":[1]}]\n{"type":"b","data":"{"}',
      "  plain ü text\n",
      "\ufeff[ ]",
      "\n\n{}\n\n{}",
    ]
    fc.assert(
      fc.property(fc.constantFrom(...outputs), fc.array(fc.nat(), { maxLength: 30 }), (output, cuts) => {
        expect(plain(read(output, cuts))).toEqual(plain(read(output)))
      }),
    )
  })

  test("events come out as soon as they are complete", () => {
    const reader = new OutputReader(DEFAULTS)
    expect(reader.push(Buffer.from('{"type":"a"}\n{"ty'))).toMatchObject([{ attributes: { type: "a" } }])
    expect(reader.push(Buffer.from('pe":"b"}'))).toMatchObject([{ attributes: { type: "b" } }])
    expect(reader.end()).toEqual([])
  })

  test("R-SEC-3: more than maxBytes since the last event is OUTPUT_LIMIT, whatever form it has", () => {
    const limit = expect.objectContaining({ reason: "OUTPUT_LIMIT" })
    for (const output of [
      "x".repeat(11),
      " ".repeat(11),
      `"${"x".repeat(11)}`,
      `{"a":"${"x".repeat(11)}`,
      "[".repeat(11),
      `[${" ".repeat(11)}`,
    ])
      expect(() => read(output, [1, 2, 5], 10)).toThrow(limit)
    // Behind a mistake nothing is kept, but it is still counted.
    const reader = new OutputReader({ ...DEFAULTS, maxBytes: 100 })
    reader.push(Buffer.from("{} stray"))
    expect(() => Array.from({ length: 20 }, () => reader.push(Buffer.from("x".repeat(10))))).toThrow(limit)
    expect(read(`${'{"a":1}\n'.repeat(5)}`, [8, 16, 24, 32], 10)).toHaveLength(5)
    expect(() => read(`[${'{"type":"a"},'.repeat(10_000)}{"type":"a"}]`)).toThrow(limit)
  })

  test("what a failed program says of it is found at the end of JSON and of text", () => {
    const failureIn = (output: string): unknown => {
      const reader = new OutputReader(DEFAULTS)
      reader.push(Buffer.from(output))
      return reader.failure()
    }
    const said = '{"error":{"reason":"NO_STOCK","message":"sold out","retryable":false}}'
    const expected = { reason: "NO_STOCK", message: "sold out", retryable: false }
    expect(failureIn(said)).toEqual(expected)
    expect(failureIn(`{"type":"a"}\n${said}\n`)).toEqual(expected)
    expect(failureIn(`doing this\ndoing that\n${said}\n`)).toEqual(expected)
    for (const none of ["", "no", '{"error":"text"}', '{"error":{}}', '{"error":{"message":"m"},"more":1}', `${said}{"type":"a"}`])
      expect(failureIn(none)).toBeUndefined()
  })
})
