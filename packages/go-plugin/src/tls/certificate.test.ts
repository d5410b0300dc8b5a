import { createPrivateKey, X509Certificate } from "node:crypto"
import { describe, expect, test } from "@jest/globals"
import { createCertificate, pemFromDer } from "./certificate.js"

describe("createCertificate", () => {
  test("H18 makes a P-256 end entity for localhost, valid since a moment ago and for thirty years", () => {
    const now = Date.parse("2026-11-20T12:00:00Z")
    const { certPem, keyPem, der } = createCertificate(now)
    const certificate = new X509Certificate(certPem)
    expect(certificate).toMatchObject({ ca: false, subject: "O=HashiCorp\nCN=localhost", issuer: "O=HashiCorp\nCN=localhost" })
    expect(certificate.subjectAltName).toBe("DNS:localhost")
    expect(certificate.keyUsage).toEqual(["1.3.6.1.5.5.7.3.2", "1.3.6.1.5.5.7.3.1"])
    expect(certificate.publicKey.asymmetricKeyDetails).toEqual({ namedCurve: "prime256v1" })
    expect(Date.parse(certificate.validFrom)).toBe(now - 30_000)
    expect(Date.parse(certificate.validTo)).toBe(now + 262_980 * 3_600_000)
    expect(certificate.checkPrivateKey(createPrivateKey(keyPem))).toBe(true)
    expect(certificate.verify(certificate.publicKey)).toBe(true)
    expect(certificate.raw.equals(der)).toBe(true)
    expect(new X509Certificate(pemFromDer(der)).raw.equals(der)).toBe(true)
  })

  test("a hundred of them all parse: serials are positive, lengths of signatures vary", () => {
    const serials = new Set<string>()
    for (let i = 0; i < 100; i++) {
      const certificate = new X509Certificate(createCertificate().der)
      expect(certificate.verify(certificate.publicKey)).toBe(true)
      expect(certificate.serialNumber).not.toMatch(/^(-|00)/)
      serials.add(certificate.serialNumber)
    }
    expect(serials.size).toBe(100)
  })

  test("years before 2050 are written as UTCTime, later ones as GeneralizedTime", () => {
    expect(new X509Certificate(createCertificate(Date.parse("1999-12-31T23:59:59Z")).der).validTo).toContain("2029")
    expect(new X509Certificate(createCertificate(Date.parse("2060-01-01T00:00:00Z")).der).validFrom).toContain("2059")
  })
})
