import { FnError } from "@fn/core"
import type { PluginAddress } from "./handshake.js"

/** How to find a plugin that runs already, in the JSON shape that Terraform made a convention (`TF_REATTACH_PROVIDERS`). */
export interface ReattachConfig {
  readonly Protocol: "grpc"
  readonly ProtocolVersion: number
  readonly Pid: number
  /** The plugin runs in test mode: who attaches must not end it. */
  readonly Test: boolean
  readonly Addr: { readonly Network: "unix" | "tcp"; readonly String: string }
}

/** @throws {FnError} INVALID_REQUEST, PLUGIN_PROTOCOL for one that speaks netrpc */
export function parseReattachConfig(value: unknown): ReattachConfig {
  const { Protocol, ProtocolVersion = 0, Pid, Test = false, Addr } = (value ?? {}) as Partial<Record<keyof ReattachConfig, unknown>>
  const { Network, String: address } = (Addr ?? {}) as Partial<Record<"Network" | "String", unknown>>
  if (Protocol !== "grpc")
    throw FnError.of("PLUGIN_PROTOCOL", `the plugin to attach speaks ${JSON.stringify(Protocol)}, this host speaks grpc only`)
  const pidOk = typeof Pid === "number" && Number.isInteger(Pid) && Pid > 0
  const addressOk = (Network === "unix" || Network === "tcp") && typeof address === "string" && address !== ""
  if (!pidOk || !addressOk || typeof ProtocolVersion !== "number") {
    throw FnError.of("INVALID_REQUEST", "a reattach configuration has Protocol, ProtocolVersion, Pid, Test and Addr {Network, String}")
  }
  return { Protocol, ProtocolVersion, Pid, Test: Test === true, Addr: { Network, String: address } }
}

/** Where the plugin listens. */
export function addressOf({ Addr }: ReattachConfig): PluginAddress {
  return { network: Addr.Network, address: Addr.String }
}
