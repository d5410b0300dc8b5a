/**
 * The Java SDK: its sources in a clone or in the published package, and a project's own copy in `.fn-sdk/`, with the parent of the project's
 * pom.xml. So a project builds with Maven alone, and keeps building the same when the command is upgraded.
 */
import { cp, stat } from "node:fs/promises"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"

const SDK_FOLDER = ".fn-sdk"
/** What a function is built from. */
const PARTS = ["function", "src/main", "src/generated"]
/** In a clone, and in the published package. */
const SDK_SOURCES = ["../../../../sdk/java", "../../java-sdk"]

/** Copies the SDK into the project at `path`. Resolves with the files that were added. */
export async function addJavaSdk(path: string): Promise<string[]> {
  const source = await findJavaSdk()
  const filter = (file: string): boolean => basename(file) !== "target"
  for (const part of PARTS) await cp(join(source, part), join(path, SDK_FOLDER, part), { recursive: true, filter })
  return [`${SDK_FOLDER}/`]
}

/** Folder of the SDK: the copy of the project at `project`, or the one beside this command. @throws {FnError} TOOLCHAIN_MISSING */
export async function findJavaSdk(project?: string): Promise<string> {
  const beside = SDK_SOURCES.map((source) => fileURLToPath(new URL(source, import.meta.url)))
  for (const folder of [...(project === undefined ? [] : [join(project, SDK_FOLDER)]), ...beside])
    if (await stat(join(folder, "function/pom.xml")).catch(() => undefined)) return folder
  throw FnError.of("TOOLCHAIN_MISSING", "the sources of the Java SDK are not beside this command: install @fn/cli again")
}
