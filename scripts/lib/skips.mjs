import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { findOnPath } from "./which.mjs"

/**
 * A test that cannot run on this machine prints `SKIPPED: needs <thing>: <what was not tested>` and passes. CI reads these lines:
 * a skip is fine only where the thing is really absent, and a skip without a thing is never fine. Only the beginning of a line counts:
 * jest prints the source line of every warning, too.
 */
const MARKER = /^[ \t]*skipped\b:?[ \t]*(?:needs ([\w./-]+): )?([^\n\r]*)/gim

/** The skips in what a test run printed, each once: `{ needs, what, allowed }`. */
export function findSkips(output) {
  const skips = new Map()
  for (const [line, needs, what] of output.matchAll(MARKER)) {
    skips.set(line, { needs, what: what.trim(), allowed: needs !== undefined && !isPresent(needs) })
  }
  return [...skips.values()]
}

/** Whether this machine has what a test needs: a platform, `root`, `internet`, Rust for WASI, or a program on PATH. */
function isPresent(thing) {
  switch (thing) {
    case "linux":
    case "darwin":
      return process.platform === thing
    case "root":
      return process.getuid?.() === 0
    case "wasm32-wasip1":
      return hasRustTarget()
    case "internet":
      return false // nothing here may fail because a network is missing
    default:
      return findOnPath(thing) !== undefined
  }
}

/** Rust's standard library for WASI. */
function hasRustTarget() {
  if (findOnPath("cargo") === undefined) return false
  try {
    const args = ["--print", "target-libdir", "--target", "wasm32-wasip1"]
    return existsSync(execFileSync("rustc", args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim())
  } catch {
    return false // a Rust that has never heard of it
  }
}
