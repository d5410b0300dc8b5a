/** The environment of a plugin process: what go-plugin's protocol puts there, and what must not leak into it. */
import type { Handshake } from "./handshake.js"

/** Variables of the protocol, host → plugin. */
export const PROTOCOL_VARIABLES = {
  minPort: "PLUGIN_MIN_PORT",
  maxPort: "PLUGIN_MAX_PORT",
  protocolVersions: "PLUGIN_PROTOCOL_VERSIONS",
  /** The host's certificate as PEM. Its presence is the switch that turns TLS on in the plugin. */
  clientCertificate: "PLUGIN_CLIENT_CERT",
  multiplex: "PLUGIN_MULTIPLEX_GRPC",
  socketDir: "PLUGIN_UNIX_SOCKET_DIR",
  socketGroup: "PLUGIN_UNIX_SOCKET_GROUP",
} as const

/** go-plugin's own defaults; plugins that listen on TCP take a port from here. */
const DEFAULT_PORTS = { min: 10_000, max: 25_000 }

/** What {@link pluginEnvironment} composes. */
export interface EnvironmentOptions {
  readonly handshake: Handshake
  /** The application's variables: they beat inherited ones. */
  readonly env?: Readonly<Record<string, string>>
  /** Variables taken over from `from`: a list of names, or all of them. Default: none. */
  readonly inherit?: boolean | readonly string[]
  readonly from: Readonly<Record<string, string | undefined>>
  readonly clientCertificatePem?: string
  readonly socketDir?: string
  readonly multiplex?: boolean
  readonly ports?: { readonly min: number; readonly max: number }
}

/**
 * Inherited < application < protocol. Protocol variables that this launch does not set are deleted wherever they came from:
 * when the host itself is a plugin, its own PLUGIN_CLIENT_CERT would switch TLS on in a plugin that we call in plaintext.
 */
export function pluginEnvironment(options: EnvironmentOptions): Record<string, string> {
  const env: Record<string, string> = { ...inherited(options), ...options.env }
  for (const name of Object.values(PROTOCOL_VARIABLES)) delete env[name]
  const ports = options.ports ?? DEFAULT_PORTS
  env[options.handshake.cookieKey] = options.handshake.cookieValue
  env[PROTOCOL_VARIABLES.minPort] = String(ports.min)
  env[PROTOCOL_VARIABLES.maxPort] = String(ports.max)
  env[PROTOCOL_VARIABLES.protocolVersions] = options.handshake.protocolVersions.join(",")
  if (options.clientCertificatePem) env[PROTOCOL_VARIABLES.clientCertificate] = options.clientCertificatePem
  if (options.multiplex) env[PROTOCOL_VARIABLES.multiplex] = "true"
  if (options.socketDir) env[PROTOCOL_VARIABLES.socketDir] = options.socketDir
  return env
}

function inherited({ inherit = false, from }: EnvironmentOptions): Record<string, string> {
  const env: Record<string, string> = {}
  const names = inherit === true ? Object.keys(from) : inherit === false ? [] : inherit
  for (const name of names) {
    const value = from[name]
    if (value !== undefined) env[name] = value
  }
  return env
}
