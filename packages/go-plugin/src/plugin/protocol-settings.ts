/** What the host told a plugin through the environment. */

import { execFileSync } from "node:child_process"
import { X509Certificate } from "node:crypto"
import { readFileSync } from "node:fs"
import { FnError, messageOf } from "@fn/core"
import { PROTOCOL_VARIABLES } from "../handshake/environment.js"
import type { Handshake } from "../handshake/handshake.js"
import { parseGoBoolean } from "../handshake/line.js"

/** The protocol's variables, understood. */
export interface ProtocolSettings {
  /** PLUGIN_PROTOCOL_VERSIONS as it came. */
  readonly offeredVersions: string | undefined
  /** The host's certificate: AutoMTLS is wanted. */
  readonly clientCertificatePem?: string
  readonly ports: { readonly min: number; readonly max: number }
  readonly socketDir?: string
  /** Numeric id. */
  readonly socketGroup?: number
  /** Whether to carry everything over one connection. Absent when the host knows nothing of that, and must not be told of it. */
  readonly multiplex?: boolean
}

type Environment = Record<string, string | undefined>

/** Whether this process was launched by the host it belongs to. */
export function hasCookie(env: Environment, { cookieKey, cookieValue }: Pick<Handshake, "cookieKey" | "cookieValue">): boolean {
  return env[cookieKey] === cookieValue
}

/**
 * Reads the variables. An empty one counts as absent.
 * @throws {FnError} INVALID_CONFIG for a port range, certificate or group that makes no sense
 */
export function readProtocolSettings(env: Environment): ProtocolSettings {
  const pem = env[PROTOCOL_VARIABLES.clientCertificate]
  const group = env[PROTOCOL_VARIABLES.socketGroup]
  const socketDir = env[PROTOCOL_VARIABLES.socketDir]
  const multiplex = env[PROTOCOL_VARIABLES.multiplex]
  return {
    offeredVersions: env[PROTOCOL_VARIABLES.protocolVersions],
    ports: readPorts(env),
    ...(pem ? { clientCertificatePem: checkedPem(pem) } : {}),
    ...(socketDir ? { socketDir } : {}),
    ...(multiplex ? { multiplex: parseGoBoolean(multiplex) ?? false } : {}),
    ...(group ? { socketGroup: groupId(group) } : {}),
  }
}

/** Removes them, and the cookie: a plugin that launches plugins of its own must not hand them on. */
export function deleteProtocolVariables(env: Environment, cookieKey: string): void {
  for (const name of [cookieKey, ...Object.values(PROTOCOL_VARIABLES)]) delete env[name]
}

function readPorts(env: Environment): { min: number; max: number } {
  const [min, max] = [PROTOCOL_VARIABLES.minPort, PROTOCOL_VARIABLES.maxPort].map((name) => {
    const text = env[name] || "0"
    const port = Number(text)
    if (/^\d+$/.test(text) && port < 65_536) return port
    throw FnError.of("INVALID_CONFIG", `${name} is no port number: ${JSON.stringify(text)}`)
  }) as [number, number]
  if (min > max)
    throw FnError.of("INVALID_CONFIG", `${PROTOCOL_VARIABLES.minPort} (${min}) is greater than ${PROTOCOL_VARIABLES.maxPort} (${max})`)
  return { min, max }
}

/** Go goes on with an empty pool, and nobody can connect; better to say what is wrong. */
function checkedPem(pem: string): string {
  try {
    new X509Certificate(pem)
    return pem
  } catch (cause) {
    throw FnError.of("INVALID_CONFIG", `${PROTOCOL_VARIABLES.clientCertificate} is no certificate in PEM: ${messageOf(cause)}`, { cause })
  }
}

function groupId(group: string): number {
  if (/^\d+$/.test(group)) return Number(group)
  const id = idIn(readFileSync("/etc/group", "utf8"), group) ?? idIn(askGetent(group), group)
  if (id === undefined) throw FnError.of("INVALID_CONFIG", `${PROTOCOL_VARIABLES.socketGroup}: there is no group ${JSON.stringify(group)}`)
  return id
}

/** For groups of a directory service. */
function askGetent(group: string): string {
  try {
    return execFileSync("getent", ["group", "--", group], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] })
  } catch {
    return "" // no such group, or no getent on this system
  }
}

function idIn(groups: string, name: string): number | undefined {
  const fields = groups
    .split("\n")
    .map((line) => line.split(":"))
    .find(([group]) => group === name)
  return fields?.[2] === undefined ? undefined : Number(fields[2])
}
