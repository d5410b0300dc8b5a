/**
 * The Python SDK: its sources in a clone or in the published package, and a project's own copy in `.fn-sdk/`. With that a project keeps building
 * the same when the command is upgraded.
 */
import { cp, stat } from "node:fs/promises"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"

const SDK_FOLDER = ".fn-sdk"
const PACKAGE = "fn_sdk"
/** In a clone, and in the published package. */
const SDK_SOURCES = ["../../../../sdk/python/src", "../../python-sdk"]

/** Copies the SDK into the project at `path`. Resolves with the files that were added. */
export async function addPythonSdk(path: string): Promise<string[]> {
  const filter = (file: string): boolean => basename(file) !== "__pycache__"
  await cp(await findPythonSdk(), join(path, SDK_FOLDER, PACKAGE), { recursive: true, filter })
  return [`${SDK_FOLDER}/`]
}

/** Folder of the package: the copy of the project at `project`, or the one beside this command. @throws {FnError} TOOLCHAIN_MISSING */
export async function findPythonSdk(project?: string): Promise<string> {
  const beside = SDK_SOURCES.map((source) => fileURLToPath(new URL(source, import.meta.url)))
  for (const folder of [...(project === undefined ? [] : [join(project, SDK_FOLDER)]), ...beside]) {
    const found = join(folder, PACKAGE)
    if (await stat(join(found, "__init__.py")).catch(() => undefined)) return found
  }
  throw FnError.of("TOOLCHAIN_MISSING", "the sources of the Python SDK are not beside this command: install @fn/cli again")
}
