/**
 * Is this a program that this machine can run? Asked before it is launched, because libc's execvp hands a file of unknown format to
 * /bin/sh, which would run a damaged artifact as a script, line by line.
 */
import { closeSync, openSync, readdirSync, readSync, type Stats, statSync } from "node:fs"
import { isAbsolute, resolve } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"

/** ELF's e_machine numbers of what Node runs on. */
const ELF_MACHINES: Readonly<Record<string, number>> = {
  x64: 62,
  arm64: 183,
  ia32: 3,
  arm: 40,
  ppc64: 21,
  s390x: 22,
  riscv64: 243,
  loong64: 258,
}
const ELF_TYPE = { executable: 2, shared: 3 }
const MACH_O_MAGICS: ReadonlySet<number> = new Set([0xfeedface, 0xfeedfacf, 0xcefaedfe, 0xcffaedfe, 0xcafebabe])
const BINFMT_DIR = "/proc/sys/fs/binfmt_misc"

/**
 * The absolute path of `command`: a name without a slash is looked up on `path`, a relative one starts from `cwd`.
 * @throws {FnError} PLUGIN_NOT_EXECUTABLE missing, a folder, no executable bit, or a format this machine cannot run
 */
export function resolveExecutable(command: string, options: { cwd?: string | undefined; path?: string | undefined } = {}): string {
  const path = locate(command, options)
  const stats = statFile(path)
  if (!stats.isFile()) throw refuse(path, "is not a file")
  if (process.platform === "win32") return path
  if ((stats.mode & 0o111) === 0) throw refuse(path, `has no executable bit (mode ${octal(stats)})`)
  const format = formatOf(readHead(path), stats.size)
  if (format !== "native" && !(format.startsWith("ELF for") && hasForeignFormats()))
    throw refuse(path, `cannot run here (${process.platform} ${process.arch}): ${format}`)
  return path
}

/** Mode and owner of a launched file, for the error reports of a failed start. */
export function describeExecutable(path: string): string {
  try {
    const stats = statSync(path)
    return `${path} (mode ${octal(stats)}, owner ${stats.uid}:${stats.gid}, ${stats.size} bytes)`
  } catch (cause) {
    return `${path} (${(cause as NodeJS.ErrnoException).code})`
  }
}

/** `native`, or in words what the file is instead. */
export function formatOf(head: Buffer, sizeBytes: number): string {
  if (head.length === 0) return "the file is empty"
  if (head.subarray(0, 2).toString("latin1") === "#!") return "native"
  if (head.length >= 20 && head.readUInt32BE(0) === 0x7f454c46)
    return process.platform === "linux" ? elfFormat(head, sizeBytes) : "ELF, a Linux program"
  if (head.length >= 4 && MACH_O_MAGICS.has(head.readUInt32BE(0)))
    return process.platform === "darwin" ? "native" : "Mach-O, a macOS program"
  if (head.subarray(0, 2).toString("latin1") === "MZ") return "PE, a Windows program"
  return "neither a program nor a script that begins with #!"
}

function elfFormat(head: Buffer, sizeBytes: number): string {
  const is64 = head[4] === 2
  if (head.length < (is64 ? 64 : 52)) return "a damaged ELF program"
  const big = head[5] === 2
  const u16 = (at: number): number => (big ? head.readUInt16BE(at) : head.readUInt16LE(at))
  const u32 = (at: number): number => (big ? head.readUInt32BE(at) : head.readUInt32LE(at))
  const machine = u16(18)
  const own = ELF_MACHINES[process.arch]
  if (own !== undefined && machine !== own) {
    const name = Object.entries(ELF_MACHINES).find(([, number]) => number === machine)?.[0] ?? `machine ${machine}`
    return `ELF for ${name}`
  }
  // What the kernel itself asks before it calls a file a program; it answers ENOEXEC otherwise, and the file would go to sh.
  const headersAt = is64 ? u32(big ? 36 : 32) : u32(28)
  const [entrySize, count] = is64 ? [u16(54), u16(56)] : [u16(42), u16(44)]
  const isProgram = u16(16) === ELF_TYPE.executable || u16(16) === ELF_TYPE.shared
  return isProgram && count > 0 && headersAt + entrySize * count <= sizeBytes ? "native" : "a damaged ELF program"
}

/** Whether the kernel was told to run other formats (qemu-user, as on multi-architecture build hosts). */
function hasForeignFormats(): boolean {
  try {
    return readdirSync(BINFMT_DIR).some((name) => name !== "register" && name !== "status")
  } catch {
    return false // not mounted
  }
}

function locate(command: string, { cwd = process.cwd(), path }: { cwd?: string | undefined; path?: string | undefined }): string {
  if (command === "") throw FnError.of("INVALID_REQUEST", "a plugin needs a command")
  if (isAbsolute(command) || command.includes("/")) return resolve(cwd, command)
  const found = findOnPath(command, path)
  if (!found) throw refuse(command, "is not on PATH")
  return found
}

function statFile(path: string): Stats {
  try {
    return statSync(path)
  } catch (cause) {
    const code = (cause as NodeJS.ErrnoException).code
    throw refuse(path, code === "ENOENT" ? "does not exist" : `cannot be read (${code})`, cause)
  }
}

/** Empty when we may execute the file but not read it: then the kernel has the only say. */
function readHead(path: string): Buffer {
  const fd = openOrUndefined(path)
  if (fd === undefined) return Buffer.from("#!")
  try {
    const head = Buffer.alloc(64)
    return head.subarray(0, readSync(fd, head))
  } finally {
    closeSync(fd)
  }
}

function openOrUndefined(path: string): number | undefined {
  try {
    return openSync(path, "r")
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).code === "EACCES") return undefined
    throw refuse(path, "cannot be read", cause)
  }
}

function octal(stats: Stats): string {
  return (stats.mode & 0o777).toString(8).padStart(3, "0")
}

function refuse(path: string, why: string, cause?: unknown): FnError {
  return FnError.of("PLUGIN_NOT_EXECUTABLE", `${path} ${why}`, { cause })
}
