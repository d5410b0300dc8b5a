/**
 * The handshake line: what a plugin prints on stdout, once, when it listens.
 *
 *     core "|" app "|" network "|" address [ "|" protocol [ "|" certificate [ "|" multiplex [ "|" … ] ] ] ]
 *
 * Hosts accept 4 fields and more; plugins print 6, or 7 when the host asked about multiplexing: hosts before go-plugin 1.6 split
 * into at most six parts, and would take a seventh for part of the certificate.
 */
import { FnError, type Reason } from "@fn/core"
import { CORE_PROTOCOL_VERSION, type PluginAddress } from "./handshake.js"

/** A handshake line, parsed. */
export interface HandshakeLine extends PluginAddress {
  /** Version of the application's protocol that the plugin chose. */
  readonly protocolVersion: number
  /** DER of the plugin's certificate; absent when the field is empty. */
  readonly certificate?: Buffer
  /** Whether the plugin can carry brokered services over its one connection. Absent unless its host asked. */
  readonly multiplex?: boolean
}

/** go-plugin looks at the certificate field only from this length on: old plugins put other things there. */
const MIN_CERTIFICATE_LENGTH = 50
const QUOTED_LENGTH = 300

/**
 * Reads the line; white space around it is ignored, inside it is not.
 * @throws {FnError} BAD_HANDSHAKE for what is no handshake, PLUGIN_PROTOCOL for a plugin that speaks another protocol than gRPC
 */
export function parseHandshakeLine(text: string): HandshakeLine {
  const line = text.trim()
  const fields = line.split("|")
  if (line === "") throw refuse("the plugin printed an empty line where its handshake belongs", line)
  if (fields.length < 4) throw refuse("the plugin's first line is no handshake", line)
  const [core, app, network, address, protocol = "netrpc", certificate = "", multiplex = ""] = fields as [
    string,
    string,
    string,
    string,
    ...string[],
  ]
  if (!isDecimal(core)) throw refuse("the handshake's first field (core protocol version) is not a number", line)
  if (Number(core) !== CORE_PROTOCOL_VERSION)
    throw refuse(`the plugin speaks go-plugin core protocol ${core}, this host speaks ${CORE_PROTOCOL_VERSION}`, line)
  if (!isDecimal(app)) throw refuse("the handshake's second field (protocol version) is not a number", line)
  if (network !== "unix" && network !== "tcp") throw refuse(`the handshake names the unknown network ${quote(network)}`, line)
  if (!isAddress(network, address)) throw refuse(`the handshake names the unusable ${network} address ${quote(address)}`, line)
  if (protocol !== "grpc") {
    const told = fields.length === 4 ? "netrpc (its handshake has four fields)" : quote(protocol)
    throw refuse(`the plugin speaks ${told}, this host speaks grpc only`, line, "PLUGIN_PROTOCOL")
  }
  const offersMultiplex = parseGoBoolean(multiplex)
  return {
    protocolVersion: Number(app),
    network,
    address,
    ...(certificate.length > MIN_CERTIFICATE_LENGTH ? { certificate: Buffer.from(certificate, "base64") } : {}),
    ...(offersMultiplex === undefined ? {} : { multiplex: offersMultiplex }),
  }
}

/** The line with its newline: six fields, or seven when it says something of multiplexing. */
export function formatHandshakeLine(line: HandshakeLine): string {
  if (/[|\n\r]/.test(line.address))
    throw FnError.of("INVALID_REQUEST", `an address cannot contain "|" or a line break: ${quote(line.address)}`)
  // Go decodes strictly: with "=" padding it refuses the certificate.
  const certificate = line.certificate?.toString("base64").replace(/=+$/, "") ?? ""
  const fields = [CORE_PROTOCOL_VERSION, line.protocolVersion, line.network, line.address, "grpc", certificate]
  if (line.multiplex !== undefined) fields.push(String(line.multiplex))
  return `${fields.join("|")}\n`
}

/** The spellings of Go's strconv. */
export function parseGoBoolean(text: string): boolean | undefined {
  if (/^(1|t|T|true|TRUE|True)$/.test(text)) return true
  return /^(0|f|F|false|FALSE|False)$/.test(text) ? false : undefined
}

function isDecimal(text: string): boolean {
  return /^\d{1,9}$/.test(text)
}

function isAddress(network: "unix" | "tcp", address: string): boolean {
  if (network === "unix") return address.startsWith("/") && !address.includes("\0")
  const port = Number(/^(?:[^:[\]\s]*|\[[0-9a-fA-F:.%]+\]):(\d{1,5})$/.exec(address)?.[1])
  return port > 0 && port < 65_536
}

function refuse(message: string, line: string, reason: Reason = "BAD_HANDSHAKE"): FnError {
  return FnError.of(reason, line === "" ? message : `${message}; its line: ${quote(line)}`)
}

function quote(text: string): string {
  return JSON.stringify(text.length > QUOTED_LENGTH ? `${text.slice(0, QUOTED_LENGTH)}…` : text)
}
