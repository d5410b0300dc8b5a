import { FnError } from "@fn/core"

/**
 * What a child may reach.
 *
 * - `none`: its own loopback and nothing else
 * - `egress`: through a proxy of the host, these `host:port` and nothing else
 * - `full`: what the host reaches, its loopback and abstract sockets included; grant it knowingly
 */
export type Network = { readonly kind: "none" } | { readonly kind: "egress"; readonly allow: readonly string[] } | { readonly kind: "full" }

/** `host:port` as it is compared: lower case, without the dot that ends a full name. Undefined if it is none. */
export function normalizeTarget(text: string): string | undefined {
  const [, bracketed, plain, port] = /^(?:\[([0-9a-fA-F:.]+)\]|([A-Za-z0-9._-]+)):(\d{1,5})$/.exec(text) ?? []
  const host = (bracketed ?? plain)?.toLowerCase().replace(/\.$/, "")
  if (!host || Number(port) < 1 || Number(port) > 65_535) return undefined
  return bracketed === undefined ? `${host}:${Number(port)}` : `[${host}]:${Number(port)}`
}

/** @throws {FnError} INVALID_REQUEST for an allow-list with something else than `host:port` */
export function checkNetwork(network: Network): void {
  if (network.kind !== "egress") return
  for (const target of network.allow) {
    if (normalizeTarget(target) === undefined)
      throw FnError.of("INVALID_REQUEST", `${JSON.stringify(target)} is not a host:port that egress can be allowed to`)
  }
}
