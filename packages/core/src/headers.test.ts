import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { headerBlock, headerLine, headerText, readHeaderBlock } from "./headers.js"

function read(block: string): [string, string][] {
  const seen: [string, string][] = []
  readHeaderBlock(Buffer.from(block, "utf8"), (name, value) => seen.push([name, value]))
  return seen
}

describe("header blocks", () => {
  test("the status line is no header, and a line without a name or a colon is skipped", () => {
    expect(read("NATS/1.0 503 No Responders\r\n\r\n")).toEqual([])
    expect(read("NATS/1.0\r\na: 1\r\nno colon\r\n: no name\r\nb:2\r\nc:  3 \r\nd:\r\ne:x:y\r\n\r\n")).toEqual([
      ["a", "1"],
      ["b", "2"],
      ["c", "3"],
      ["d", ""],
      ["e", "x:y"],
    ])
  })

  test("a block cut anywhere is read as far as it goes", () => {
    const whole = "NATS/1.0\r\nFn-Version: 1.2.0\r\nce-id: 1\r\n\r\n"
    for (let end = 0; end <= whole.length; end++) expect(() => read(whole.slice(0, end))).not.toThrow()
  })

  test("a block that we write is one the NATS protocol knows", () => {
    expect(Buffer.from(headerBlock(headerLine("a", 1))).toString()).toBe("NATS/1.0\r\na: 1\r\n\r\n")
  })

  test("any text is made one line of printable ASCII of limited length", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 2000 }), (text) => {
        const flat = headerText(text)
        expect(flat).toMatch(/^[\x20-\x7e]*$/)
        expect(flat.length).toBeLessThanOrEqual(512)
      }),
    )
    expect(headerText("one\r\n\ttwo é")).toBe("one two ?")
    expect(headerText("abcdef", 5)).toBe("ab...")
  })
})
