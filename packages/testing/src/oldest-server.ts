import { homedir } from "node:os"
import { delimiter, join } from "node:path"
import { findNatsServer } from "@fn/nats"
import { findOnPath } from "@fn/process"
import { testServerBinary } from "./test-server.js"

/** A nats-server that tests run against. */
export interface ServerBinary {
  readonly version: string
  readonly binary: string
}

let oldest: Promise<ServerBinary | string> | undefined

/**
 * The oldest server we promise to run on, 2.9.10 as Debian 12 packages it, kept in a cache of its own. Undefined, said aloud with `what`
 * was not tested, where there is no Debian to take it from.
 */
export async function oldestServer(what: string): Promise<ServerBinary | undefined> {
  oldest ??= findOldest()
  const found = await oldest
  if (typeof found !== "string") return found
  console.warn(`SKIPPED: ${found}: ${what} on nats-server 2.9`)
  return undefined
}

/** The usual server and the oldest, for `describe.each`; only the usual one, said aloud, where the oldest is not to be had. */
export async function testServers(what: string): Promise<readonly { readonly server: string; readonly binary: string }[]> {
  const usual = { server: "the usual nats-server", binary: await testServerBinary() }
  const old = await oldestServer(what)
  return old ? [usual, { server: `nats-server ${old.version}`, binary: old.binary }] : [usual]
}

/** The server, or what is missing in the words of a skipped test. */
async function findOldest(): Promise<ServerBinary | string> {
  for (const tool of ["apt-get", "dpkg-deb"]) if (!findOnPath(tool)) return `needs ${tool}`
  if (process.getuid?.() !== 0) return "needs root"
  const cacheDir = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "fn", "nats-server-debian")
  const path = (process.env.PATH ?? "").split(delimiter).filter((folder) => !findOnPath("nats-server", folder))
  const env = { ...process.env, PATH: path.join(delimiter), FN_NATS_SERVER: undefined }
  const found = await findNatsServer({ cacheDir, env, fetch: ["debian"], systemFolders: [] })
  // A later Debian packages a later server.
  return found.version.startsWith("2.9.") ? { version: found.version, binary: found.path } : "needs debian-12"
}
