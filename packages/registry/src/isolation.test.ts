import { describe, expect, test } from "@jest/globals"
import { parseManifest } from "./definition.js"
import { isolationRequest } from "./isolation.js"

const manifest = (isolation: unknown, more: object = {}) =>
  parseManifest({ name: "x", language: "js", runtime: "module", isolation, ...more })

describe("R-PL-6: isolation in fn.yaml", () => {
  test.each([
    ["nothing", {}, {}],
    ["a level", { level: "sandbox" }, { level: "sandbox" }],
    ["no network", { network: "none" }, { network: "none" }],
    ["some network", { network: ["api.example.com:443", "[2001:db8::1]:80"] }, { network: ["api.example.com:443", "[2001:db8::1]:80"] }],
    ["a file by its path", { files: ["/srv/data"] }, { files: [{ path: "/srv/data" }] }],
    [
      "a folder to write to",
      { files: [{ path: "/srv/data", at: "/data", writable: true }] },
      { files: [{ path: "/srv/data", at: "/data", writable: true }] },
    ],
  ])("takes %s", (_what, isolation, expected) => {
    expect(manifest(isolation).isolation).toEqual(expected)
  })

  test.each([
    ["a level there is not", { level: "docker" }, "isolation.level"],
    ["an unknown key", { nework: "none" }, "nework"],
    ["a URL for a target", { network: ["https://example.com"] }, "host:port"],
    ["no target at all", { network: [] }, "isolation.network"],
    ["a relative file", { files: ["data"] }, "absolute path"],
    ["a way out of a folder", { files: ["/srv/../etc/shadow"] }, "absolute path"],
    ["a NUL", { files: ["/srv/a\0b"] }, "absolute path"],
  ])("refuses %s", (_what, isolation, named) => {
    expect(() => manifest(isolation)).toThrow(named)
  })

  test.each([
    ["fewer processes than Node needs", { pids: 4 }, "pids"],
    ["no processor at all", { cpu: 0 }, "cpu"],
  ])("refuses %s", (_what, more, named) => {
    expect(() => manifest({}, more)).toThrow(named)
  })
})

describe("isolationRequest", () => {
  const definition = (isolation: unknown) => ({ namespace: "default", name: "x", version: "1.0.0", isolation }) as never

  test("says what is not asked for as such", () => {
    expect(isolationRequest(definition(undefined))).toEqual({ level: undefined, network: undefined, files: [] })
  })

  test("refuses what a newer release wrote", () => {
    expect(() => isolationRequest(definition({ network: { to: "the moon" } }))).toThrow(
      expect.objectContaining({ reason: "ISOLATION_UNAVAILABLE", message: expect.stringContaining("isolation.network") }),
    )
  })
})
