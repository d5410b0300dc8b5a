import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder of its own until it is stopped. */
export function tempFolder() {
  const path = mkdtempSync(join(tmpdir(), "fn-bench-"))
  return { path, stop: () => rmSync(path, { recursive: true, force: true }) }
}
