import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { createCertificate } from "../tls/certificate.js"
import { formatHandshakeLine, type HandshakeLine, parseHandshakeLine } from "./line.js"

const version = fc.nat({ max: 999_999_999 })
const unixAddress = fc
  .stringMatching(/^[^|\n\r\0]{1,80}$/)
  .map((path) => `/${path.trim()}`)
  .filter((path) => path === path.trim())
const tcpAddress = fc
  .tuple(fc.constantFrom("127.0.0.1", "[::1]", "localhost", ""), fc.integer({ min: 1, max: 65_535 }))
  .map(([host, port]) => `${host}:${port}`)
const address = fc.oneof(
  unixAddress.map((text) => ({ network: "unix" as const, address: text })),
  tcpAddress.map((text) => ({ network: "tcp" as const, address: text })),
)
const certificate = fc.uint8Array({ minLength: 60, maxLength: 900 }).map((bytes) => Buffer.from(bytes))

describe("handshake line", () => {
  test("parsing what was formatted gives the same back, whatever the address, version and certificate", () => {
    fc.assert(
      fc.property(
        version,
        address,
        fc.option(certificate, { nil: undefined }),
        fc.option(fc.boolean(), { nil: undefined }),
        (protocolVersion, where, der, multiplex) => {
          const line: HandshakeLine = {
            protocolVersion,
            ...where,
            ...(der ? { certificate: der } : {}),
            ...(multiplex === undefined ? {} : { multiplex }),
          }
          const text = formatHandshakeLine(line)
          expect(text.endsWith("\n")).toBe(true)
          expect(text.split("|")).toHaveLength(multiplex === undefined ? 6 : 7)
          // The certificate's base64 has no padding; an address may end in anything.
          expect(text.trimEnd().split("|")[5]).not.toContain("=")
          expect(parseHandshakeLine(text)).toEqual(line)
          expect(parseHandshakeLine(`  ${text}\r\n`)).toEqual(line)
        },
      ),
    )
  })

  test("no text crashes it: a handshake, or an FnError with one of two reasons", () => {
    const nearMiss = fc
      .array(fc.oneof(fc.constantFrom("1", "2", "", "unix", "tcp", "grpc", "netrpc", "/tmp/x", ":1", " 1"), fc.string()), { maxLength: 9 })
      .map((fields) => fields.join("|"))
    fc.assert(
      fc.property(fc.oneof(fc.string(), nearMiss), (text) => {
        try {
          expect(parseHandshakeLine(text).network).toMatch(/^(unix|tcp)$/)
        } catch (thrown) {
          expect(FnError.is(thrown)).toBe(true)
          expect((thrown as FnError).reason).toMatch(/^(BAD_HANDSHAKE|PLUGIN_PROTOCOL)$/)
          expect((thrown as FnError).message.length).toBeLessThan(1_000)
        }
      }),
      { numRuns: 1_000 },
    )
  })

  test("a certificate survives with and without base64 padding", () => {
    const { der } = createCertificate()
    for (const field of [der.toString("base64"), der.toString("base64").replace(/=+$/, "")]) {
      expect(parseHandshakeLine(`1|1|unix|/s|grpc|${field}`).certificate?.equals(der)).toBe(true)
    }
  })

  test("a short sixth field is none: old plugins put other things there", () => {
    expect(parseHandshakeLine("1|1|unix|/s|grpc|something").certificate).toBeUndefined()
  })

  test.each(["1|1|tcp|:0|grpc", "1|1|tcp|:70000|grpc", "1|1|tcp|nowhere|grpc", "1|1|tcp|::1:80|grpc", "1|1|unix||grpc"])(
    "%s names no usable address",
    (text) => {
      expect(() => parseHandshakeLine(text)).toThrow(/address/)
    },
  )

  test("an address that would break the line is not formatted", () => {
    expect(() => formatHandshakeLine({ protocolVersion: 1, network: "unix", address: "/a|b" })).toThrow(/cannot contain/)
  })
})
