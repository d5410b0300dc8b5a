import { readdir } from "node:fs/promises"
import { join } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { findOnPath } from "@fn/process"
import { runTool } from "./run-tool.js"
import { readServerVersion } from "./version.js"

const APT_TIMEOUT_MS = 180_000

/**
 * The distribution's server, taken out of its package into `workDir`; nothing is installed. apt checks the signatures.
 * @throws {FnError} unimplemented without apt or as another user than root, unavailable when the package cannot be had
 */
export async function unpackDebianPackage(
  workDir: string,
  options: { env: Readonly<Record<string, string | undefined>>; onProgress: (line: string) => void },
): Promise<{ program: string; version: string }> {
  const path = options.env.PATH ?? ""
  const apt = findOnPath("apt-get", path)
  const dpkg = findOnPath("dpkg-deb", path)
  if (!apt || !dpkg) throw new FnError("unimplemented", "this is no Debian (there is no apt-get or dpkg-deb on PATH)")
  if (process.getuid?.() !== 0) throw new FnError("unimplemented", "apt-get needs root to refresh its package lists")
  const run = (command: string, args: string[]): Promise<string> =>
    runTool({ command, args, env: { ...options.env, DEBIAN_FRONTEND: "noninteractive" }, cwd: workDir, timeoutMs: APT_TIMEOUT_MS })

  options.onProgress("fetching nats-server from the distribution: apt-get download nats-server")
  try {
    await run(apt, ["download", "-q", "nats-server"])
  } catch {
    // Images come without package lists; if these cannot be had either, that error says why.
    await run(apt, ["update", "-q"])
    await run(apt, ["download", "-q", "nats-server"])
  }
  const archive = (await readdir(workDir)).find((file) => file.endsWith(".deb"))
  if (!archive) throw new FnError("unavailable", "apt-get download left no package")
  await run(dpkg, ["-x", archive, "unpacked"])
  const program = join(workDir, "unpacked", "usr", "sbin", "nats-server")
  try {
    return { program, version: await readServerVersion(program) }
  } catch (cause) {
    throw new FnError("unavailable", `the package ${archive} holds no server that runs here: ${messageOf(cause)}`, { cause })
  }
}
