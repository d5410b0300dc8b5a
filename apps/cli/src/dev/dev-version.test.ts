import { checkVersion, compareVersions } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { baseVersion, contentDigest, devVersion } from "./dev-version.js"

const hex = fc.stringMatching(/^[0-9a-f]{64}$/)
const version = fc.stringMatching(/^(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})\.(0|[1-9]\d{0,3})(-rc\.[1-9])?$/)
const MANIFEST = { name: "hello", language: "js", runtime: "module" } as const

describe("development versions", () => {
  test("are semver before the version they stand for, whatever the digest, and lead back to it", () => {
    fc.assert(
      fc.property(version, hex, (base, digest) => {
        const dev = devVersion(base, digest)
        expect(checkVersion(dev)).toBe(dev)
        expect(baseVersion(dev)).toBe(base)
        if (!base.includes("-")) expect(compareVersions(dev, base)).toBeLessThan(0)
      }),
    )
  })

  test("an identifier of digits with a leading zero, which semver forbids, gets a letter", () => {
    expect(devVersion("1.2.0", "01234567ff")).toBe("1.2.0-dev.d01234567")
    expect(devVersion("1.2.0", "0123456aff")).toBe("1.2.0-dev.0123456a")
    expect(devVersion("1.2.0", "12345678ff")).toBe("1.2.0-dev.12345678")
  })

  test("the digest of the content heeds the artifact and every setting but the version, in any order", () => {
    const digest = contentDigest("sha256:a", { ...MANIFEST, version: "1.0.0", config: { a: 1, b: { c: 2, d: 3 } } })
    expect(contentDigest("sha256:a", { config: { b: { d: 3, c: 2 }, a: 1 }, ...MANIFEST, version: "2.0.0" })).toBe(digest)
    expect(contentDigest("sha256:b", { ...MANIFEST, config: { a: 1, b: { c: 2, d: 3 } } })).not.toBe(digest)
    expect(contentDigest("sha256:a", { ...MANIFEST, config: { a: 1, b: { c: 2, d: 4 } } })).not.toBe(digest)
  })
})
