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

/** `describe` where Go is; elsewhere it says loudly that nothing of this was tested. */
export function describeWithGo(name: string, tests: () => void): void {
  if (go) return describe(name, tests)
  console.warn(`SKIPPED: needs go: ${name} against real go-plugin peers`)
  describe.skip(name, tests)
}

/** The fixture binary, built once per content of its sources, whoever asks first. */
export function goKv(): string {
  const files = readdirSync(sources).sort()
  const digest = createHash("sha256")
  for (const file of files)
    digest
      .update(`${file}\0`)
      .update(readFileSync(join(sources, file)))
      .update("\0")
  const folder = join(tmpdir(), "fn-go-plugin-fixtures")
  const binary = join(folder, `go-kv-${digest.digest("hex").slice(0, 16)}`)
  if (existsSync(binary)) return binary
  mkdirSync(folder, { recursive: true })
  const building = `${binary}.${process.pid}`
  execFileSync(go as string, ["build", "-buildvcs=false", "-o", building, "."], { cwd: sources, stdio: ["ignore", "inherit", "inherit"] })
  // Two test files may build at once; the rename makes one of them the binary, whole.
  renameSync(building, binary)
  return binary
}
