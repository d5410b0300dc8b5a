import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { FnError } from "./errors.js"
import {
  checkId,
  checkLanguage,
  checkName,
  checkNamespace,
  checkVersion,
  compareVersions,
  formatRef,
  isId,
  isVersion,
  LANGUAGES,
  nextVersion,
  parseRef,
} from "./names.js"

const RESERVED = ["invoke", "queue", "result", "cancel", "status", "health", "dlq", "log", "execution", "claim", "wake", "host"]
const BAD_NAMES = ["", "A", "1a", "-a", "_a", "a.b", "a b", "a*", ">", "a/b", "a@b", "é", "a\n", "a".repeat(64), "a\u0000"]

const name = fc.stringMatching(/^[a-z][a-z0-9_-]{0,62}$/)
const namespace = name.filter((value) => !RESERVED.includes(value) && !(LANGUAGES as readonly string[]).includes(value))
const identifier = fc.oneof(fc.stringMatching(/^(0|[1-9][0-9]{0,3})$/), fc.stringMatching(/^[0-9]{0,2}[a-zA-Z-][0-9a-zA-Z-]{0,3}$/))
const version = fc
  .tuple(fc.nat(99), fc.nat(99), fc.nat(99), fc.array(identifier, { maxLength: 3 }))
  .map(([major, minor, patch, pre]) => `${major}.${minor}.${patch}${pre.length > 0 ? `-${pre.join(".")}` : ""}`)

describe("names", () => {
  test.each(BAD_NAMES)("%j is neither a function's name nor a namespace", (bad) => {
    expect(() => checkName(bad)).toThrow(expect.objectContaining({ code: "invalid_argument", reason: "INVALID_NAME" }))
    expect(() => checkNamespace(bad)).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
  })

  test.each([...RESERVED, ...LANGUAGES])("%s is no namespace: its subjects would be those of something else", (word) => {
    expect(() => checkNamespace(word)).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
    expect(checkName(word)).toBe(word)
  })

  test.each(RESERVED)("%s is no language", (word) => {
    expect(() => checkLanguage(word)).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
  })

  test.each(LANGUAGES)("%s is a language", (language) => {
    expect(checkLanguage(language)).toBe(language)
  })

  test("what is no string is refused, not coerced", () => {
    for (const value of [undefined, null, 5, {}, ["a"]]) {
      expect(() => checkName(value as string)).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
      expect(isId(value)).toBe(false)
    }
  })

  test("ids are one NATS token of at most 64 characters", () => {
    expect(checkId("aZ09_-", "host id")).toBe("aZ09_-")
    for (const bad of ["", "a.b", "a b", "*", ">", "a\n", "x".repeat(65)]) expect(isId(bad)).toBe(false)
  })
})

describe("references", () => {
  test("parseRef after formatRef is identity", () => {
    fc.assert(
      fc.property(namespace, name, fc.option(fc.oneof(version, name), { nil: undefined }), (ns, fn, at) => {
        const ref = at === undefined ? { namespace: ns, name: fn } : { namespace: ns, name: fn, version: at }
        expect(parseRef(formatRef(ref))).toEqual(ref)
      }),
    )
  })

  test("without a namespace it is the default one, or the one given", () => {
    expect(parseRef("hello")).toEqual({ namespace: "default", name: "hello" })
    expect(parseRef("hello@1.2.0", "shop")).toEqual({ namespace: "shop", name: "hello", version: "1.2.0" })
  })

  test("any text is a reference or an invalid name", () => {
    const refLike = fc.string({ unit: fc.constantFrom(..."ab1-_/@.A \n") })
    fc.assert(
      fc.property(fc.oneof(fc.string(), refLike), (input) => {
        try {
          const ref = parseRef(input)
          expect(parseRef(formatRef(ref))).toEqual(ref)
        } catch (thrown) {
          expect(FnError.is(thrown) && thrown.code).toBe("invalid_argument")
        }
      }),
    )
  })
})

describe("versions", () => {
  test.each(["1.0.0", "0.0.0", "10.20.30", "1.0.0-alpha", "1.0.0-0.3.7", "1.0.0-x-y-z.--", "1.0.0-rc.1", "1.2.3-0a"])(
    "%s is one",
    (value) => {
      expect(checkVersion(value)).toBe(value)
      expect(isVersion(value)).toBe(true)
    },
  )

  test.each([
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "01.2.3",
    "1.02.3",
    "1.2.03",
    "v1.2.3",
    "1.2.3-",
    "1.2.3-01",
    "1.2.3-a..b",
    "1.2.3+build",
    "1.2.3-é",
    " 1.2.3",
    "1.2.3\n",
  ])("%j is none", (value) => {
    expect(() => checkVersion(value)).toThrow(expect.objectContaining({ reason: "INVALID_VERSION" }))
    expect(isVersion(value)).toBe(false)
  })

  test("one of more than 64 characters is none: it becomes part of a key", () => {
    expect(isVersion(`1.0.0-${"a".repeat(58)}`)).toBe(true)
    expect(isVersion(`1.0.0-${"a".repeat(59)}`)).toBe(false)
  })

  test("their order is that of semver §11", () => {
    // The chains of the specification, then one past what a double can tell apart.
    const ordered = [
      "0.0.1", "0.9.9", "1.0.0-1", "1.0.0-2", "1.0.0-10", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11",
      "1.0.0-rc.1", "1.0.0", "1.0.1", "1.0.10", "1.2.0", "2.0.0", "2.1.0", "2.1.1", "9007199254740992.0.0", "9007199254740993.0.0",
    ] // biome-ignore format: a chain reads better in few lines
    for (const [i, a] of ordered.entries()) {
      for (const [j, b] of ordered.entries()) expect(Math.sign(compareVersions(a, b))).toBe(Math.sign(i - j))
    }
  })

  test("the order is total: antisymmetric and transitive", () => {
    fc.assert(
      fc.property(version, version, version, (a, b, c) => {
        expect(Math.sign(compareVersions(a, b))).toBe(-Math.sign(compareVersions(b, a)) + 0)
        if (compareVersions(a, b) <= 0 && compareVersions(b, c) <= 0) expect(compareVersions(a, c)).toBeLessThanOrEqual(0)
        if (compareVersions(a, b) === 0) expect(a).toBe(b)
      }),
    )
  })

  test("the next version is a newer release", () => {
    fc.assert(
      fc.property(version, (value) => {
        expect(compareVersions(nextVersion(value), value)).toBeGreaterThan(0)
        expect(nextVersion(value)).not.toContain("-")
      }),
    )
    expect(nextVersion(undefined)).toBe("0.0.1")
    expect(nextVersion("1.2.3")).toBe("1.2.4")
    expect(nextVersion("1.2.3-rc.1")).toBe("1.2.3")
    expect(nextVersion("1.2.9007199254740993")).toBe("1.2.9007199254740994")
  })
})
