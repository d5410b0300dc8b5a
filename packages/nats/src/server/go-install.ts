import { join } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import { runTool } from "./run-tool.js"
import { PINNED_SERVER_VERSION } from "./version.js"

/** A cold build downloads a dozen modules and compiles for most of a minute. */
const BUILD_TIMEOUT_MS = 600_000

/**
 * The pinned server, built by `go install` into `workDir`; Go checks the sources against its checksum database.
 * @throws {FnError} unimplemented without Go, unavailable when the build fails
 */
export async function goInstall(
  workDir: string,
  options: { env: Readonly<Record<string, string | undefined>>; onProgress: (line: string) => void },
): Promise<{ program: string; version: string }> {
  const go = findOnPath("go", options.env.PATH ?? "")
  if (!go) throw new FnError("unimplemented", "there is no go on PATH")
  const version = PINNED_SERVER_VERSION
  const module = `github.com/nats-io/nats-server/v2@v${version}`
  options.onProgress(`building nats-server ${version}: go install ${module} (about a minute the first time)`)
  // GOBIN and a foreign target exclude each other.
  const env = { ...options.env, GOBIN: workDir, GOOS: undefined, GOARCH: undefined }
  await runTool({ command: go, args: ["install", module], env, cwd: workDir, timeoutMs: BUILD_TIMEOUT_MS })
  return { program: join(workDir, "nats-server"), version }
}
