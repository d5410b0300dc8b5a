import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { functionKey, matchesKey, parseFunctionKey, parseVersionKey, versionKey } from "./keys.js"

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,20}$/)
const version = fc
  .tuple(fc.nat(99), fc.nat(99), fc.nat(99), fc.option(fc.stringMatching(/^[a-z][0-9a-z-]{0,5}(\.[a-z][0-9a-z-]{0,5}){0,2}$/)))
  .map(([major, minor, patch, pre]) => `${major}.${minor}.${patch}${pre === null ? "" : `-${pre}`}`)

describe("registry keys", () => {
  test("a function key is read back as it was made", () => {
    fc.assert(
      fc.property(name, (fn) => {
        expect(parseFunctionKey(functionKey("default", fn))).toEqual({ namespace: "default", name: fn })
      }),
    )
  })

  test("a version key is one KV key and is read back as it was made", () => {
    fc.assert(
      fc.property(name, version, (fn, of) => {
        const key = versionKey("default", fn, of)
        expect(key.split(".")).toHaveLength(4)
        expect(key).toMatch(/^[-/=.\w]+$/)
        expect(parseVersionKey(key)).toBe(of)
      }),
    )
  })

  test("no text crashes the parsers", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        for (const key of [text, `f.${text}`, `v.a.b.${text}`]) {
          const fn = parseFunctionKey(key)
          if (fn) expect(functionKey(fn.namespace, fn.name)).toBe(key)
          parseVersionKey(key)
        }
      }),
    )
  })

  test("a key cannot be made of what is no name", () => {
    expect(() => functionKey("default", "a.b")).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
    expect(() => functionKey("js", "a")).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
    expect(() => versionKey("default", "a", "1.0.0+build")).toThrow(expect.objectContaining({ reason: "INVALID_VERSION" }))
  })

  test.each([
    ["f.>", "f.a.b", true],
    ["f.>", "f", false],
    ["f.>", "v.a.b.c", false],
    ["f.a.*", "f.a.b", true],
    ["f.a.*", "f.a.b.c", false],
    ["f.a.*", "f.c.b", false],
    ["f.a.b", "f.a.b", true],
    ["f.a.b", "f.a.bc", false],
  ])("filter %s on %s: %s", (filter, key, matches) => {
    expect(matchesKey(filter, key)).toBe(matches)
  })
})
