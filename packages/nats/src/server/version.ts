import { compareVersions, FnError, isVersion } from "@fn/core"
import { runTool } from "./run-tool.js"

/** Version a fetched server has. */
export const PINNED_SERVER_VERSION = "2.15.2"
/** Oldest server the platform runs on (standalone; a cluster needs 2.9.21). */
export const MIN_SERVER_VERSION = "2.9.10"

/** What `nats-server -v` says. @throws {FnError} unavailable NATS_SERVER_MISSING when `path` is no nats-server that runs here */
export async function readServerVersion(path: string): Promise<string> {
  let output: string
  try {
    output = await runTool({ command: path, args: ["-v"], env: {}, timeoutMs: 10_000 })
  } catch (cause) {
    throw FnError.of("NATS_SERVER_MISSING", `${path} does not run: ${(cause as FnError).message}`, { cause })
  }
  const version = /^nats-server: v?(\S+)$/m.exec(output)?.[1]
  if (version === undefined || !isVersion(version))
    throw FnError.of("NATS_SERVER_MISSING", `${path} is no nats-server: -v says ${JSON.stringify(output.slice(0, 80))}`)
  return version
}

/** Whether `version` is at least `min`. */
export function isAtLeast(version: string, min: string): boolean {
  return compareVersions(version, min) >= 0
}
