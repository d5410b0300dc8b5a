/**
 * The Rust SDK inside a Rust project: a copy of its sources in `.fn-sdk/`. So a project builds right away, whatever this command came from, a clone
 * or a package; and it keeps building the same when the command is upgraded.
 */
import { cp, readFile, stat, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"

const SDK_FOLDER = ".fn-sdk"
/** What a function is built from. */
const PARTS = ["Cargo.toml", "README.md", "src"]
/** In a clone, and in the published package. */
const SDK_SOURCES = ["../../../../sdk/rust", "../../rust-sdk"]

/** Copies the SDK into the project at `path`, whose lock is put in order. Resolves with the files that were added. */
export async function addRustSdk(path: string): Promise<string[]> {
  const source = await findRustSdk()
  for (const part of PARTS) await cp(join(source, part), join(path, SDK_FOLDER, part), { recursive: true })
  const lock = join(path, "Cargo.lock")
  await writeFile(lock, sortLock(await readFile(lock, "utf8")))
  return [`${SDK_FOLDER}/`]
}

/** A lock with its packages by name, as cargo wants it: the project's own stands elsewhere once it has its name. */
export function sortLock(lock: string): string {
  const [head, ...packages] = lock.trimEnd().split("\n\n[[package]]\n")
  const nameOf = (text: string): string => /^name = "(.*)"$/m.exec(text)?.[1] ?? ""
  // Of the same name, the order they have is that of their versions.
  const sorted = packages.sort((a, b) => (nameOf(a) < nameOf(b) ? -1 : nameOf(a) > nameOf(b) ? 1 : 0))
  return `${[head, ...sorted].join("\n\n[[package]]\n")}\n`
}

async function findRustSdk(): Promise<string> {
  for (const candidate of SDK_SOURCES) {
    const path = fileURLToPath(new URL(candidate, import.meta.url))
    if (await stat(join(path, "Cargo.toml")).catch(() => undefined)) return path
  }
  throw FnError.of("TOOLCHAIN_MISSING", "the sources of the Rust SDK are not beside this command: install @fn/cli again")
}
