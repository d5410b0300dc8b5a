/** Writes a new project from a template: placeholders filled in, and for Go, Java, Python and Rust a copy of the SDK beside the code. */
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { dirname, join } from "node:path"
import { FnError } from "@fn/core"
import { VERSION } from "../version.js"
import { addGoSdk } from "./go-sdk.js"
import { addJavaSdk } from "./java-sdk.js"
import { addPythonSdk } from "./python-sdk.js"
import { addRustSdk } from "./rust-sdk.js"
import { type TemplateName, templateFolder } from "./templates.js"

/** What to write, and where. */
export interface ProjectOptions {
  /** Absolute path of the folder; made if need be. */
  readonly path: string
  /** Name of the function. */
  readonly name: string
  readonly template: TemplateName
}

/** npm leaves files of this name out of a package, so templates carry it under another one. */
const RENAMED: Readonly<Record<string, string>> = { gitignore: ".gitignore" }

/**
 * Writes the project. Resolves with the names of its files.
 * @throws {FnError} FOLDER_NOT_EMPTY; nothing is written then
 */
export async function createProject({ path, name, template }: ProjectOptions): Promise<string[]> {
  const existed = await requireEmpty(path)
  try {
    const files = await copyTemplate(templateFolder(template), path, { __NAME__: name, __VERSION__: VERSION })
    if (template === "go") files.push(...(await addGoSdk(path)))
    if (template === "java") files.push(...(await addJavaSdk(path)))
    if (template === "python") files.push(...(await addPythonSdk(path)))
    if (template === "rust") files.push(...(await addRustSdk(path)))
    return files.sort()
  } catch (thrown) {
    // Half a project would make the next try fail with FOLDER_NOT_EMPTY.
    for (const file of existed ? await readdir(path) : ["."]) await rm(join(path, file), { recursive: true, force: true })
    throw thrown
  }
}

/** Whether the folder is there (and empty). */
async function requireEmpty(path: string): Promise<boolean> {
  let found: string[]
  try {
    found = await readdir(path)
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException
    if (code === "ENOENT") return false
    if (code === "ENOTDIR") throw FnError.of("FOLDER_NOT_EMPTY", `${path} is a file`)
    throw thrown
  }
  if (found.length === 0) return true
  throw FnError.of(
    "FOLDER_NOT_EMPTY",
    `${path} is not empty: it has ${found.slice(0, 3).join(", ")}${found.length > 3 ? ` and ${found.length - 3} more` : ""}`,
  )
}

async function copyTemplate(from: string, to: string, placeholders: Readonly<Record<string, string>>): Promise<string[]> {
  const entries = await readdir(from, { recursive: true, withFileTypes: true })
  const written: string[] = []
  for (const entry of entries.filter((candidate) => candidate.isFile())) {
    const source = join(entry.parentPath, entry.name)
    const file = join(entry.parentPath.slice(from.length + 1), RENAMED[entry.name] ?? entry.name)
    let text = await readFile(source, "utf8")
    for (const [placeholder, value] of Object.entries(placeholders)) text = text.replaceAll(placeholder, value)
    await mkdir(dirname(join(to, file)), { recursive: true })
    await writeFile(join(to, file), text)
    written.push(file)
  }
  return written
}
