/** Reading and writing the files of control groups, each of which holds one value or lines of `key value`. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"

/** Writes one value. Rejects with the kernel's reason. */
export async function writeValue(folder: string, file: string, value: string | number): Promise<void> {
  await writeFile(join(folder, file), String(value), { flag: "w" })
}

/** The first of `files` that is there; undefined if none is. */
export async function readText(folder: string, ...files: string[]): Promise<string | undefined> {
  for (const file of files) {
    try {
      return (await readFile(join(folder, file), "utf8")).trim()
    } catch {
      // not in this version of the kernel, or the group is gone: the next name may do
    }
  }
  return undefined
}

/** A file with one number; `max` is Infinity. */
export async function readNumber(folder: string, ...files: string[]): Promise<number | undefined> {
  const text = await readText(folder, ...files)
  if (text === undefined) return undefined
  const value = text === "max" ? Number.POSITIVE_INFINITY : Number(text)
  return Number.isNaN(value) ? undefined : value
}

/** The number behind `key` in a file of `key value` lines. */
export async function readKey(folder: string, file: string, key: string): Promise<number | undefined> {
  return keyOf(await readText(folder, file), key)
}

/** The same, of a text already read. */
export function keyOf(text: string | undefined, key: string): number | undefined {
  const line = text?.split("\n").find((candidate) => candidate.startsWith(`${key} `))
  return line === undefined ? undefined : Number(line.slice(key.length + 1))
}

/** The process ids in a group. One of another process-id namespace reads 0, and to signal 0 would hit ourselves. */
export async function readProcesses(folder: string): Promise<number[]> {
  const text = await readText(folder, "cgroup.procs")
  return text === undefined || text === ""
    ? []
    : text
        .split("\n")
        .map(Number)
        .filter((pid) => pid > 0)
}
