/**
 * The shell that every child is at first: it sets the limits that are inherited, waits until its parent has put it where it belongs, and then
 * becomes the command, or the program that makes its sandbox.
 *
 * It waits on a socket. A parent that dies meanwhile closes it, and the shell ends without having run anything. The child's environment comes
 * over that socket, too: in the environment of the programs before (setpriv, this shell) a variable like LD_PRELOAD would run foreign code
 * with their rights, and on their command lines every user of the machine could read it.
 */
import { FnError } from "@fn/core"

/** Limits that a process inherits, by resource as `/proc/<pid>/limits` names it; bytes, seconds or a count. */
export type InheritedLimits = Readonly<Partial<Record<Resource, number>>>

/** What can be limited so. */
export type Resource = "Max core file size" | "Max open files" | "Max file size" | "Max data size" | "Max processes" | "Max cpu time"

/** Option of `ulimit` and the unit it counts in, as POSIX and every common shell have them. */
const ULIMIT: Readonly<Record<Resource, readonly [option: string, unit: number]>> = {
  "Max core file size": ["-c", 512],
  "Max open files": ["-n", 1],
  "Max file size": ["-f", 512],
  "Max data size": ["-d", 1024],
  // dash calls it -p, bash and busybox -u.
  "Max processes": ["-u", 1],
  "Max cpu time": ["-t", 1],
}

/** Exit code of a gate that could not open: taken by no shell for anything else. */
export const GATE_FAILED = 125

/** The script. It says when it has set the limits, reads one line from descriptor `fd`, runs it, and becomes its arguments. */
export function gateScript(fd: number, limits: InheritedLimits): string {
  if (fd > 9) throw FnError.of("INVALID_REQUEST", "a child can have at most 9 descriptors of its own: shells know only single digits")
  const settings = Object.entries(limits).map(([name, value]) => {
    const [option, unit] = ULIMIT[name as Resource]
    const count = value / unit
    return option === "-u" ? `{ ulimit -u ${count} 2>/dev/null || ulimit -p ${count}; }` : `ulimit ${option} ${count}`
  })
  return [
    `${[":", ...settings].join(" && ")} || exit ${GATE_FAILED}`,
    `echo ready >&${fd}`,
    "unset PWD OLDPWD PATH LC_ALL",
    "_fn_break='\n'",
    `IFS= read -r _fn_line <&${fd} || exit ${GATE_FAILED}`,
    `eval "$_fn_line" || exit ${GATE_FAILED}`,
    `exec "$@" ${fd}<&-`,
  ].join("\n")
}

/**
 * The line that opens the gate.
 * @throws {FnError} INVALID_REQUEST for a variable that a shell cannot have
 */
export function gateLine(env: Readonly<Record<string, string>>): string {
  const exports = Object.entries(env).map(([name, value]) => {
    if (!/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)) throw FnError.of("INVALID_REQUEST", `${JSON.stringify(name)} cannot name a variable`)
    if (value.includes("\0")) throw FnError.of("INVALID_REQUEST", `the variable ${name} holds a NUL`)
    return `export ${name}=${quote(value)}`
  })
  return `${[...exports, ":"].join("; ")}\n`
}

/** A word that the gate reads as exactly this text. Its line breaks are those of a variable, because the gate reads a single line. */
function quote(text: string): string {
  return text
    .split("\n")
    .map((line) => `'${line.replaceAll("'", `'\\''`)}'`)
    .join('"$_fn_break"')
}
