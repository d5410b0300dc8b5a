/** What a module says of itself in code: policies and event types given to defineFunction, which fn.yaml then need not repeat. */

import type { Readable } from "node:stream"
import { text } from "node:stream/consumers"
import { pathToFileURL } from "node:url"
import { messageOf } from "@fn/core"
import { describeExit, spawnChild } from "@fn/process"
import { type FunctionManifest, functionManifestSchema } from "@fn/registry"

/** Settings found in code, in the words of fn.yaml. */
export interface Declared {
  readonly settings: Readonly<Record<string, unknown>>
  /** Why the code could not be asked. */
  readonly warning?: string
}

/** A module that takes longer to load waits for something it should wait for in `setup`. */
const LOAD_TIMEOUT_MS = 10_000

/** Loads the module and prints what its function declares on descriptor 3, where nothing the author prints can get between. */
const ASK = `
import { writeSync } from "node:fs"
const exports = await import(process.argv[1])
const fn = [exports.default, ...Object.values(exports)].find((value) => typeof value?.toManifest === "function")
writeSync(3, JSON.stringify(fn?.toManifest() ?? {}))
process.exit(0)
`

/** Asks the bundle at `path`, in a process of its own with the environment it will have on a host. Never rejects: fn.yaml alone will do. */
export async function readDeclared(path: string, env: Readonly<Record<string, string>>): Promise<Declared> {
  const child = spawnChild({
    command: process.execPath,
    args: ["--input-type=module", "-e", ASK, pathToFileURL(path).href],
    env,
    stdio: ["ignore", "ignore", "pipe", "pipe"],
  })
  const timer = setTimeout(() => child.kill("SIGKILL"), LOAD_TIMEOUT_MS)
  try {
    const [exit, said, complaint] = await Promise.all([
      child.exited,
      text(child.process.stdio[3] as Readable),
      text(child.stderr as Readable),
    ])
    if (exit.code !== 0) return { settings: {}, warning: `the module does not load here: ${firstError(complaint) ?? describeExit(exit)}` }
    const { name: _, ...settings } = JSON.parse(said) as Record<string, unknown>
    return { settings }
  } catch (thrown) {
    return { settings: {}, warning: `what the module declares cannot be read: ${messageOf(thrown)}` }
  } finally {
    clearTimeout(timer)
  }
}

/** The manifest with what the code declares where fn.yaml says nothing. */
export function withDeclared(manifest: FunctionManifest, { settings }: Declared): FunctionManifest {
  const merged = functionManifestSchema.safeParse({ ...settings, ...manifest })
  // Written for another release of the SDK, perhaps: what fn.yaml says holds.
  return merged.success ? merged.data : manifest
}

function firstError(complaint: string): string | undefined {
  return complaint.split("\n").find((line) => /^\w*Error\b/.test(line))
}
