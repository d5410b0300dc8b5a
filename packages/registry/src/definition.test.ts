import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { decodeDefinition, decodeRecord, encodeDefinition, encodeRecord } from "./codec.js"
import { artifactFileName, commandLine, type FunctionDefinition, type FunctionRecord, parseManifest } from "./definition.js"
import { draftDefinition, sameContent } from "./draft.js"

const base = { name: "hello", language: "js", runtime: "module" } as const
const provenance = { deployedBy: "ana", deployedAt: "2026-01-02T03:04:05.678Z" }

function define(overrides: Partial<FunctionDefinition> = {}): FunctionDefinition {
  return { ...draftDefinition(parseManifest(base), provenance), version: "1.2.3-rc.1", ...overrides }
}

describe("parseManifest", () => {
  test("takes the least and leaves the rest out", () => {
    expect(parseManifest(base)).toEqual(base)
  })

  test.each<[string, Record<string, unknown>, string]>([
    ["an unknown key", { retries: 3 }, "retries"],
    ["a reserved namespace", { namespace: "queue" }, "namespace"],
    ["a version with build metadata", { version: "1.0.0+5" }, "version"],
    ["a number that is none", { timeoutMs: "30s" }, "timeoutMs"],
    ["more instances than allowed", { instances: { min: 3, max: 2 } }, "instances"],
    ["our metadata prefix", { metadata: { "fn.x": "y" } }, "metadata"],
    ["an environment variable with a space", { env: { "A B": "c" } }, "env"],
    ["a config that is not JSON", { config: { when: new Date(0) } }, "config"],
    ["an empty command", { command: [] }, "command"],
    ["an unknown retry setting", { retry: { delay: 3 } }, "retry"],
  ])("refuses %s and names where it stands", (_, extra, where) => {
    expect(() => parseManifest({ ...base, ...extra })).toThrow(
      expect.objectContaining({ reason: "INVALID_DEFINITION", message: expect.stringContaining(where) }),
    )
  })

  test("no value crashes it", () => {
    fc.assert(
      fc.property(fc.anything(), (value) => {
        try {
          parseManifest(value)
        } catch (thrown) {
          expect(FnError.is(thrown)).toBe(true)
        }
      }),
    )
  })
})

describe("definitions", () => {
  test("one language for all defaults: those of the design", () => {
    expect(define()).toMatchObject({
      namespace: "default",
      timeoutMs: 30_000,
      concurrency: 100,
      instances: { min: 0, max: 1 },
      memoryMb: 256,
    })
    const command = draftDefinition(parseManifest({ ...base, runtime: "command", instances: { min: 2 } }), provenance)
    expect(command).toMatchObject({ concurrency: 1, instances: { min: 2, max: 2 } })
    expect(command).not.toHaveProperty("memoryMb")
  })

  test("content is compared without provenance, and without what a newer release added", () => {
    expect(sameContent(define(), define({ deployedBy: "bob", deployedAt: "2027-01-01T00:00:00Z", sourceDigest: "x" }))).toBe(true)
    expect(sameContent(define(), { ...define(), weights: 1 } as FunctionDefinition)).toBe(true)
    expect(sameContent(define({ config: { a: 1, b: [2] } }), define({ config: { b: [2], a: 1 } }))).toBe(true)
    expect(sameContent(define(), define({ timeoutMs: 1 }))).toBe(false)
    expect(sameContent(define(), define({ env: { A: "b" } }))).toBe(false)
  })

  test("what is stored is read back", () => {
    const definition = define()
    expect(decodeDefinition("v.default.hello.1_2_3-rc_1", encodeDefinition(definition))).toEqual(definition)
    const { namespace, name, language, runtime, metadata } = definition
    const record: FunctionRecord = {
      ...{ schema: 1, namespace, name, language, runtime, metadata, activeVersion: "1.0.0", aliases: { stable: "0.9.0" }, generation: 4 },
      ...provenance,
    }
    expect(decodeRecord("f.default.hello", encodeRecord(record))).toEqual(record)
    expect(() => decodeRecord("f.default.other", encodeRecord(record))).toThrow(expect.objectContaining({ reason: "RECORD_CORRUPT" }))
    expect(() => decodeDefinition("v.default.hello.1_2_3", encodeDefinition(definition))).toThrow(
      expect.objectContaining({ reason: "RECORD_CORRUPT" }),
    )
  })

  test("no stored bytes crash the decoder", () => {
    const check = (bytes: Uint8Array): void => {
      expect(() => decodeRecord("f.default.x", bytes)).toThrow(
        expect.objectContaining({ reason: expect.stringMatching(/^(RECORD_CORRUPT|SCHEMA_TOO_NEW)$/) }),
      )
    }
    fc.assert(fc.property(fc.uint8Array(), check))
    fc.assert(fc.property(fc.json(), (json) => check(Buffer.from(json))))
    fc.assert(fc.property(fc.integer({ min: 2 }), (schema) => check(Buffer.from(JSON.stringify({ schema })))))
  })
})

describe("commandLine", () => {
  const artifact = { digest: `sha256:${"0".repeat(64)}`, sizeBytes: 1, executable: true }

  test("is the artifact itself, a script run by node, or what the definition says", () => {
    expect(commandLine(define({ artifact: { ...artifact, fileName: "plugin" } }), "/a/plugin")).toEqual(["/a/plugin"])
    expect(commandLine(define({ artifact: { ...artifact, fileName: "plugin.mjs" } }), "/a/plugin.mjs", "/bin/node")).toEqual([
      "/bin/node",
      "/a/plugin.mjs",
    ])
    const command = ["python3", "-u", "{artifact}", "--self={artifact}"]
    expect(commandLine(define({ command }), "/a/$&.py")).toEqual(["python3", "-u", "/a/$&.py", "--self=/a/$&.py"])
    expect(commandLine(define({ command: ["/bin/cat"] }), undefined)).toEqual(["/bin/cat"])
  })
})

describe("artifactFileName", () => {
  test("is one harmless path segment, whatever it is made from", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        expect(artifactFileName(text)).toMatch(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,127}$/)
      }),
    )
    expect(artifactFileName("../../etc/passwd")).toBe("_._.._etc_passwd")
    expect(artifactFileName("hello.mjs")).toBe("hello.mjs")
  })
})
