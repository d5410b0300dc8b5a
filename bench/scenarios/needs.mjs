import { spawnSync } from "node:child_process"

/** What a row may need of the machine: what it is called, and whether it is there. */

export const GO = { thing: "go", isThere: () => works("go", ["version"]) }
/** Sandboxes are made by bubblewrap. */
export const SANDBOX = { thing: "bwrap", isThere: () => works("bwrap", ["--version"]) }

function works(command, args) {
  return spawnSync(command, args).status === 0
}
