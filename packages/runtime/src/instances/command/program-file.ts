import { closeSync, openSync, readSync } from "node:fs"
import { basename } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { resolveExecutable } from "@fn/go-plugin"
import { findOnPath } from "@fn/process"

/** How much of a first line the kernel reads. */
const FIRST_LINE_BYTES = 256

/**
 * The absolute path of a program that this machine can run. Asked before it is run: execvp hands a file of unknown format to /bin/sh, which
 * runs a damaged program line by line.
 * @throws {FnError} failed_precondition COMMAND_NOT_EXECUTABLE with what is wrong: not there, not executable, made for another machine, or a script
 * whose interpreter is not there
 */
export function findProgram(command: string, path: string | undefined): string {
  try {
    const file = resolveExecutable(command, { path })
    checkInterpreter(file, path)
    return file
  } catch (thrown) {
    if (FnError.is(thrown) && thrown.reason === "COMMAND_NOT_EXECUTABLE") throw thrown
    throw notExecutable(messageOf(thrown), thrown)
  }
}

/** The error for a program that cannot be run here. */
export function notExecutable(why: string, cause?: unknown): FnError {
  return FnError.of("COMMAND_NOT_EXECUTABLE", why, cause === undefined ? {} : { cause })
}

/** A script is as good as the program that its first line names. */
function checkInterpreter(file: string, path: string | undefined): void {
  const line = firstLine(file)
  if (!line.startsWith("#!")) return
  if (line.endsWith("\r"))
    throw notExecutable(`the first line of ${basename(file)} ends in a carriage return: save it with line feeds alone`)
  const [interpreter, ...args] = line.slice(2).trim().split(/\s+/)
  if (!interpreter) throw notExecutable(`the first line of ${basename(file)} names no program`)
  const name = basename(interpreter) === "env" ? args.find((argument) => !argument.startsWith("-") && !argument.includes("=")) : undefined
  if (name !== undefined && !name.includes("/")) {
    if (findOnPath(name, path) === undefined)
      throw notExecutable(`${basename(file)} needs ${name}, and there is no such program on PATH (${path ?? ""})`)
    return
  }
  resolveExecutable(interpreter, { path })
}

function firstLine(file: string): string {
  let fd: number
  try {
    fd = openSync(file, "r")
  } catch {
    return "" // one that may be run, but not read: the kernel has the only say
  }
  try {
    const head = Buffer.alloc(FIRST_LINE_BYTES)
    const text = head.toString("latin1", 0, readSync(fd, head))
    return text.split("\n", 1)[0] as string
  } finally {
    closeSync(fd)
  }
}
