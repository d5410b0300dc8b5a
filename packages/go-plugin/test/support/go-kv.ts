import { execFileSync } from "node:child_process"
import { createHash } from "node:crypto"
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath } from "@fn/process"
import { describe } from "@jest/globals"

const sources = fileURLToPath(new URL("../fixtures/go-kv/", import.meta.url))
const go = findOnPath("go")

/** The releases of hashicorp/go-plugin that the fixture is built against: one source, a module file for each. */
const RELEASES = { "1.8.0": [], "1.0.1": ["-modfile=go-plugin-1.0.1.mod", "-tags=go_plugin_1_0"] } as const
export type GoPluginRelease = keyof typeof RELEASES

/** `describe` where Go is; elsewhere it says loudly that nothing of this was tested. */
export function describeWithGo(name: string, tests: () => void): void {
  if (go) return describe(name, tests)
  console.warn(`SKIPPED: needs go: ${name} against real go-plugin peers`)
  describe.skip(name, tests)
}

/** The fixture binary, built once per release and content of its sources, whoever asks first. */
export function goKv(release: GoPluginRelease = "1.8.0"): string {
  const files = readdirSync(sources).sort()
  const digest = createHash("sha256")
  for (const file of files)
    digest
      .update(`${file}\0`)
      .update(readFileSync(join(sources, file)))
      .update("\0")
  const folder = join(tmpdir(), "fn-go-plugin-fixtures")
  const binary = join(folder, `go-kv-${release}-${digest.digest("hex").slice(0, 16)}`)
  if (existsSync(binary)) return binary
  mkdirSync(folder, { recursive: true })
  const building = `${binary}.${process.pid}`
  const args = ["build", ...RELEASES[release], "-buildvcs=false", "-o", building, "."]
  execFileSync(go as string, args, { cwd: sources, stdio: ["ignore", "inherit", "inherit"] })
  // Two test files may build at once; the rename makes one of them the binary, whole.
  renameSync(building, binary)
  return binary
}
