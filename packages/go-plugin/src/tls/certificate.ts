/**
 * The self-signed certificate that each side of AutoMTLS makes for itself, anew per launch.
 *
 * node:crypto cannot create certificates, so this writes the DER of the one kind we need (RFC 5280). The usual library takes 90 ms to
 * load on the machine this was measured on, which every cold start would pay; this takes about 1 ms.
 *
 * P-256 because Python's gRPC wheels (BoringSSL) refuse P-521, and CA:FALSE because rustls refuses a CA as an end entity; Go takes both.
 */
import { createHash, generateKeyPairSync, randomBytes, sign } from "node:crypto"

/** A certificate and its key. */
export interface Certificate {
  readonly certPem: string
  readonly keyPem: string
  readonly der: Buffer
}

const OID = {
  ecdsaWithSha256: [0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02],
  organization: [0x55, 0x04, 0x0a],
  commonName: [0x55, 0x04, 0x03],
  subjectKeyId: [0x55, 0x1d, 0x0e],
  keyUsage: [0x55, 0x1d, 0x0f],
  subjectAltName: [0x55, 0x1d, 0x11],
  basicConstraints: [0x55, 0x1d, 0x13],
  extendedKeyUsage: [0x55, 0x1d, 0x25],
  serverAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01],
  clientAuth: [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02],
} as const

const TAG = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utf8String: 0x0c,
  generalizedTime: 0x18,
  utcTime: 0x17,
  sequence: 0x30,
  set: 0x31,
} as const

/** The clocks of both sides are one, but a certificate valid from "now" would be refused in the same second by a rounding peer. */
const BACKDATED_MS = 30_000
/** go-plugin's own validity: thirty years. */
const VALID_MS = 262_980 * 3_600_000
/** digitalSignature and keyAgreement; the three low bits of the octet are unused. */
const KEY_USAGE = [0x03, 0x88]

/** Makes a certificate for `localhost`, the name under which either side verifies the other. */
export function createCertificate(now: number = Date.now()): Certificate {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" })
  const spki = publicKey.export({ type: "spki", format: "der" })
  const algorithm = sequence(oid(OID.ecdsaWithSha256))
  const name = sequence(nameEntry(OID.organization, "HashiCorp"), nameEntry(OID.commonName, "localhost"))
  const body = sequence(
    contextTag(0, der(TAG.integer, [2])), // X.509 v3
    positiveInteger(randomBytes(16)),
    algorithm,
    name,
    sequence(time(now - BACKDATED_MS), time(now + VALID_MS)),
    name,
    spki,
    contextTag(3, sequence(...extensions(spki))),
  )
  const signature = sign("sha256", body, { key: privateKey, dsaEncoding: "der" })
  const certificate = sequence(body, algorithm, bitString(signature))
  return {
    der: certificate,
    certPem: pemFromDer(certificate),
    keyPem: privateKey.export({ type: "pkcs8", format: "pem" }) as string,
  }
}

/** PEM of a certificate in DER. */
export function pemFromDer(certificate: Buffer): string {
  const lines = certificate.toString("base64").match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join("\n")}\n-----END CERTIFICATE-----\n`
}

function extensions(spki: Buffer): Buffer[] {
  const keyId = createHash("sha1").update(spki).digest()
  const localhost = Buffer.from("localhost")
  return [
    extension(OID.keyUsage, true, der(TAG.bitString, KEY_USAGE)),
    extension(OID.extendedKeyUsage, false, sequence(oid(OID.clientAuth), oid(OID.serverAuth))),
    extension(OID.basicConstraints, true, sequence()), // CA:FALSE is the default, so nothing is written
    extension(OID.subjectKeyId, false, der(TAG.octetString, keyId)),
    extension(OID.subjectAltName, false, sequence(der(0x82, localhost))), // [2] dNSName
  ]
}

function extension(id: readonly number[], critical: boolean, value: Buffer): Buffer {
  return sequence(oid(id), ...(critical ? [der(TAG.boolean, [0xff])] : []), der(TAG.octetString, value))
}

function nameEntry(id: readonly number[], value: string): Buffer {
  return der(TAG.set, sequence(oid(id), der(TAG.utf8String, Buffer.from(value))))
}

/** UTCTime to 2049, GeneralizedTime from 2050 on, as RFC 5280 wants it. */
function time(epochMs: number): Buffer {
  const digits = new Date(epochMs).toISOString().replace(/\D/g, "").slice(0, 14)
  const utc = digits < "2050"
  return der(utc ? TAG.utcTime : TAG.generalizedTime, Buffer.from(`${utc ? digits.slice(2) : digits}Z`))
}

/** Random bytes as an INTEGER: positive, and without superfluous leading zeros. */
function positiveInteger(bytes: Buffer): Buffer {
  const first = (bytes[0] as number) & 0x7f
  return der(TAG.integer, Buffer.concat([Buffer.of(first === 0 ? 1 : first), bytes.subarray(1)]))
}

function bitString(bytes: Buffer): Buffer {
  return der(TAG.bitString, Buffer.concat([Buffer.of(0), bytes]))
}

function contextTag(number: number, content: Buffer): Buffer {
  return der(0xa0 | number, content)
}

function sequence(...parts: Buffer[]): Buffer {
  return der(TAG.sequence, Buffer.concat(parts))
}

function oid(bytes: readonly number[]): Buffer {
  return der(TAG.oid, bytes)
}

function der(tag: number, content: Uint8Array | readonly number[]): Buffer {
  const body = Buffer.from(content)
  return Buffer.concat([Buffer.of(tag, ...lengthOctets(body.length)), body])
}

function lengthOctets(length: number): number[] {
  if (length < 0x80) return [length]
  return length < 0x100 ? [0x81, length] : [0x82, length >> 8, length & 0xff]
}
