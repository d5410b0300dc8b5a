/** Sockets of go-plugin servers: the plugin's main one, and brokered ones of both sides. */
import { randomBytes } from "node:crypto"
import { chmodSync, chownSync, lstatSync, unlinkSync } from "node:fs"
import type { Server as NetServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { FnError, messageOf } from "@fn/core"
import type { Server, ServerCredentials } from "@grpc/grpc-js"
import type { PluginAddress } from "../handshake/handshake.js"

/** Where and how to listen. */
export interface ListenOptions {
  /** Default: unix sockets, except on Windows. */
  readonly network?: "unix" | "tcp"
  /** Folder of unix sockets. Default: the system's temporary one, or /tmp where that makes paths too long. */
  readonly socketDir?: string | undefined
  /** Numeric id of the group that may connect, beside the owner. Default: what umask leaves. */
  readonly socketGroup?: number | undefined
  /** TCP only: the first free port from `min` to `max`. Default: any. */
  readonly ports?: { readonly min: number; readonly max: number } | undefined
}

/** Linux takes 107 bytes, macOS 103; Node cuts longer paths silently and binds to the wrong name. */
export const MAX_SOCKET_PATH_BYTES = 103

/** Binds `server` and tells where. On TCP it listens on 127.0.0.1 only. */
export async function listen(server: Server, credentials: ServerCredentials, options: ListenOptions = {}): Promise<PluginAddress> {
  return await listenWith((at) => bindGrpc(server, credentials, at), options)
}

/** The same for a server of bare connections. */
export async function listenRaw(server: NetServer, options: ListenOptions = {}): Promise<PluginAddress> {
  return await listenWith((at) => bindRaw(server, at), options)
}

/** Where to bind. */
type BindTarget = { readonly path: string } | { readonly port: number }
/** Resolves with the port; 0 for a path. */
type Bind = (at: BindTarget) => Promise<number>

const LOOPBACK = "127.0.0.1"

async function listenWith(bind: Bind, options: ListenOptions): Promise<PluginAddress> {
  if ((options.network ?? defaultNetwork()) === "tcp") return await listenTcp(bind, options.ports)
  const address = newSocketPath(options.socketDir)
  await bind({ path: address })
  if (options.socketGroup !== undefined) {
    chownSync(address, -1, options.socketGroup)
    chmodSync(address, 0o660)
  }
  return { network: "unix", address }
}

/** Removes a socket file that a killed peer left; nothing but a socket of our own user. */
export function removeSocket({ network, address }: PluginAddress): void {
  if (network !== "unix") return
  try {
    const file = lstatSync(address)
    if (file.isSocket() && (process.getuid === undefined || file.uid === process.getuid())) unlinkSync(address)
  } catch {
    // gone already: the peer removed it itself
  }
}

function defaultNetwork(): "unix" | "tcp" {
  return process.platform === "win32" ? "tcp" : "unix"
}

function newSocketPath(dir: string | undefined): string {
  const folders = dir ? [dir] : [tmpdir(), "/tmp"]
  const name = `plugin${randomBytes(8).toString("hex")}`
  const path = folders.map((folder) => join(folder, name)).find((candidate) => Buffer.byteLength(candidate) <= MAX_SOCKET_PATH_BYTES)
  if (path !== undefined) return path
  const [folder] = folders
  throw FnError.of(
    "INVALID_REQUEST",
    `a socket in ${folder} would have a path of more than ${MAX_SOCKET_PATH_BYTES} bytes; use a shorter folder`,
  )
}

async function listenTcp(bind: Bind, ports: ListenOptions["ports"]): Promise<PluginAddress> {
  if (!ports || ports.max === 0) return { network: "tcp", address: `${LOOPBACK}:${await bind({ port: 0 })}` }
  let last: unknown
  for (let port = ports.min; port <= ports.max; port++) {
    try {
      return { network: "tcp", address: `${LOOPBACK}:${await bind({ port })}` }
    } catch (inUse) {
      last = inUse
    }
  }
  throw FnError.of("INVALID_REQUEST", `no free port from ${ports.min} to ${ports.max}: ${messageOf(last)}`, { cause: last })
}

function bindGrpc(server: Server, credentials: ServerCredentials, at: BindTarget): Promise<number> {
  const target = "path" in at ? `unix:${at.path}` : `${LOOPBACK}:${at.port}`
  return new Promise((resolve, reject) => server.bindAsync(target, credentials, (error, port) => (error ? reject(error) : resolve(port))))
}

function bindRaw(server: NetServer, at: BindTarget): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject)
    server.listen("path" in at ? { path: at.path } : { port: at.port, host: LOOPBACK }, () => {
      server.off("error", reject)
      const bound = server.address()
      resolve(bound !== null && typeof bound === "object" ? bound.port : 0)
    })
  })
}
