/** What a program of this machine needs to run in an empty file system: itself, its libraries, its loader. */
import { execFile } from "node:child_process"
import { accessSync, constants, realpathSync } from "node:fs"
import { promisify } from "node:util"
import { FnError, messageOf } from "@fn/core"
import { findOnPath } from "@fn/process"
import type { FileGrant } from "./grant.js"

/** A program and the grants with which a sandbox can run it. */
export interface HostProgram {
  /** Where it is in a sandbox with these files. */
  readonly path: string
  /** Where a child that is a process finds it. */
  readonly hostPath: string
  readonly files: readonly FileGrant[]
}

const found = new Map<string, Promise<HostProgram>>()

/**
 * Finds out what `program` (a path, or a name on PATH) needs, once per process.
 *
 * Only for programs of the machine itself: to ask a program for its libraries is to run its loader.
 * @throws {FnError} ISOLATION_UNAVAILABLE when there is no such program
 */
export function hostProgram(program: string): Promise<HostProgram> {
  let result = found.get(program)
  if (!result) {
    result = inspect(program)
    found.set(program, result)
    result.catch(() => found.delete(program))
  }
  return result
}

async function inspect(program: string): Promise<HostProgram> {
  const path = locate(program)
  const libraries = await librariesOf(path)
  return { path, hostPath: path, files: [path, ...libraries].map((file) => ({ path: file })) }
}

function locate(program: string): string {
  const path = program.includes("/") ? program : findOnPath(program)
  try {
    if (path === undefined) throw new Error("it is not on PATH")
    accessSync(path, constants.X_OK)
    return realpathSync(path)
  } catch (thrown) {
    throw FnError.of("ISOLATION_UNAVAILABLE", `the program ${program} cannot be shown to a sandbox: ${messageOf(thrown)}`)
  }
}

/** The lines of `ldd` are `name => path (address)` or `path (address)`; a static program has none. */
async function librariesOf(path: string): Promise<string[]> {
  try {
    const { stdout } = await promisify(execFile)("ldd", [path], { env: { PATH: "/usr/bin:/bin:/usr/sbin:/sbin", LC_ALL: "C" } })
    return stdout.split("\n").flatMap((line) => /(?:=> |^\s*)(\/\S+) \(0x/.exec(line)?.[1] ?? [])
  } catch (thrown) {
    if (/not a dynamic executable|statically linked/.test(`${messageOf(thrown)} ${(thrown as { stdout?: string }).stdout ?? ""}`)) return []
    throw FnError.of("ISOLATION_UNAVAILABLE", `the libraries of ${path} cannot be found: ${messageOf(thrown)}`, { cause: thrown })
  }
}
