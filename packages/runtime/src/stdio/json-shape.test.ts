import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { isJsonText, MAX_JSON_DEPTH, shapeOfJson } from "./json-shape.js"

function parses(text: string): boolean {
  try {
    JSON.parse(text)
    return true
  } catch {
    return false // that is the answer
  }
}

/** JSON with something in it changed, left out or doubled: mostly broken, sometimes not. */
const nearlyJson = fc
  .tuple(fc.json(), fc.nat(), fc.constantFrom(...'{}[]",:\\ \t\n0-+.eEtrufalsn/b\u0001ü', ""), fc.nat({ max: 2 }))
  .map(([text, at, put, drop]) => {
    const place = at % (text.length + 1)
    return text.slice(0, place) + put + text.slice(place + drop)
  })

describe("shapeOfJson", () => {
  test("takes exactly what JSON.parse takes", () => {
    fc.assert(fc.property(fc.json(), (text) => expect(isJsonText(Buffer.from(text))).toBe(true)))
    fc.assert(
      fc.property(nearlyJson, (text) => expect([text, isJsonText(Buffer.from(text))]).toEqual([text, parses(text)])),
      { numRuns: 2_000 },
    )
  })

  test.each([
    "",
    " ",
    "nul",
    "truex",
    "-",
    "01",
    "1.",
    ".5",
    "1e",
    "+1",
    "0x1",
    "NaN",
    '"',
    '"\\u12g4"',
    '"\\x"',
    '"\t"',
    "{",
    "}",
    "{1:2}",
    '{"a"}',
    '{"a":}',
    '{"a":1,}',
    '{"a":1 "b":2}',
    "[1,]",
    "[,1]",
    "[1 2]",
    "[1}",
    "{]",
    "[1]]",
    "1 2",
    "{} {}",
    "'a'",
    "[1\u00a0]",
  ])("refuses %j", (text) => {
    expect(shapeOfJson(Buffer.from(text))).toMatchObject({ kind: "invalid", why: expect.any(String) })
  })

  test("tells where the members of the outermost object are, the last of a name winning", () => {
    const text = Buffer.from(` {"a" : [1,{"b":2}], "\\u0062":"x{","c":{"a":0}, "a":-1.5e3 } `)
    const shape = shapeOfJson(text)
    if (shape.kind !== "object") throw new Error(shape.kind)
    const members = [...shape.members].map(([name, [start, end]]) => [name, text.subarray(start, end).toString()])
    expect(members).toEqual([
      ["a", "-1.5e3"],
      ["b", '"x{"'],
      ["c", '{"a":0}'],
    ])
  })

  test("tells where the elements of the outermost array are", () => {
    const text = Buffer.from('[ {"a":[1,2]} ,"x",[ ],3 ]')
    const shape = shapeOfJson(text)
    if (shape.kind !== "array") throw new Error(shape.kind)
    expect(shape.elements.map(([start, end]) => text.subarray(start, end).toString())).toEqual(['{"a":[1,2]}', '"x"', "[ ]", "3"])
    expect(shapeOfJson(Buffer.from("[]"))).toEqual({ kind: "array", elements: [], truncated: false })
    expect(shapeOfJson(Buffer.from("{}"))).toMatchObject({ kind: "object", truncated: false })
  })

  test("nesting is bounded: 10 million brackets are refused at once, not built", () => {
    const deep = (depth: number): Buffer => Buffer.from("[".repeat(depth) + "]".repeat(depth))
    expect(isJsonText(deep(MAX_JSON_DEPTH))).toBe(true)
    expect(shapeOfJson(deep(MAX_JSON_DEPTH + 1))).toMatchObject({ kind: "invalid", why: expect.stringContaining("nested") })
    expect(shapeOfJson(Buffer.alloc(10_000_000, "["))).toMatchObject({ kind: "invalid" })
  })

  test("what is noted is bounded, what is validated is not", () => {
    const many = `[${"{},".repeat(200_000)}1]`
    expect(shapeOfJson(Buffer.from(many))).toMatchObject({ kind: "array", truncated: true })
    expect(shapeOfJson(Buffer.from(many.slice(0, -1)))).toMatchObject({ kind: "invalid" })
    const wide = `{${Array.from({ length: 1_000 }, (_, at) => `"k${at}":1`).join()}}`
    expect(shapeOfJson(Buffer.from(wide))).toMatchObject({ kind: "object", truncated: true })
  })

  test("bytes that are no UTF-8 are no JSON", () => {
    expect(shapeOfJson(Buffer.from([0x22, 0xff, 0x22]))).toMatchObject({ kind: "invalid", why: expect.stringContaining("UTF-8") })
  })
})
