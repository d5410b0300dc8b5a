/** What host and plugin of one application agree on before they run. */
export interface Handshake {
  /** Name of the environment variable that says "launched by the right host". No secret: it only turns away people who run the plugin by hand. */
  readonly cookieKey: string
  readonly cookieValue: string
  /** Versions of the application's own protocol that this side speaks. */
  readonly protocolVersions: readonly number[]
}

/** Where a peer listens: a socket path, or `host:port`. */
export interface PluginAddress {
  readonly network: "unix" | "tcp"
  readonly address: string
}

/** Version of go-plugin's own protocol: the first field of the line. There has never been another one. */
export const CORE_PROTOCOL_VERSION = 1

/**
 * The version a plugin serves: its highest one that the host also speaks; without a common one its lowest, and the host reports the mismatch.
 * `offered` is PLUGIN_PROTOCOL_VERSIONS, in no particular order; what does not parse is skipped.
 */
export function chooseProtocolVersion(own: readonly number[], offered: string | undefined): number {
  const descending = [...own].sort((a, b) => b - a)
  const lowest = descending.at(-1)
  if (lowest === undefined) throw new RangeError("a plugin serves at least one protocol version")
  const theirs = new Set(
    (offered ?? "")
      .split(",")
      .filter((text) => /^\d+$/.test(text))
      .map(Number),
  )
  return descending.find((version) => theirs.has(version)) ?? lowest
}
