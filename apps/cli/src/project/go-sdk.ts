/**
 * The Go SDK inside a Go project: a copy of its sources in `.fn-sdk/`, and a go.mod that points there.
 *
 * So a project builds right away, whatever this command came from, a clone or a package; and it keeps building the same when the command
 * is upgraded. Go leaves folders with a leading dot out of `./...`.
 */
import { cp, readdir, readFile, stat, writeFile } from "node:fs/promises"
import { basename, join } from "node:path"
import { fileURLToPath } from "node:url"
import { FnError } from "@fn/core"

const SDK_FOLDER = ".fn-sdk"
/** In a clone, and in the published package. */
const SDK_SOURCES = ["../../../../sdk/go", "../../go-sdk"]

/** Copies the SDK into the project at `path` and completes its go.mod. Resolves with the files that were added. */
export async function addGoSdk(path: string): Promise<string[]> {
  const source = await findGoSdk()
  await cp(source, join(path, SDK_FOLDER), { recursive: true, filter: belongsToSdk })
  const [project, sdk] = await Promise.all([readFile(join(path, "go.mod"), "utf8"), readFile(join(source, "go.mod"), "utf8")])
  await writeFile(join(path, "go.mod"), completeGoMod(project, sdk))
  await cp(join(source, "go.sum"), join(path, "go.sum"))
  return ["go.sum", `${SDK_FOLDER}/`]
}

/**
 * A project's go.mod with everything the SDK needs, as `go mod tidy` would write it: Go builds with no network where the modules are
 * cached, and asks for nothing to be repaired.
 */
export function completeGoMod(project: string, sdk: string): string {
  const module = /^module\s+(\S+)/m.exec(sdk)?.[1] ?? ""
  const goVersion = /^go\s+(\S+)/m.exec(sdk)?.[1] ?? ""
  const needed = [...sdk.matchAll(/^(?:require)?\s+([\w./~-]+)\s+(v\S+)/gm)]
    .map(([, path, version]) => `\t${path} ${version} // indirect`)
    .sort()
  return [
    project.replace(/^go\s+\S+/m, `go ${goVersion}`).trimEnd(),
    "",
    `require ${module} v0.0.0`,
    "",
    ...(needed.length === 0 ? [] : ["require (", ...needed, ")", ""]),
    `// The SDK's sources, so that this builds anywhere. Remove the line to use a published release.`,
    `replace ${module} => ./${SDK_FOLDER}`,
    "",
  ].join("\n")
}

async function findGoSdk(): Promise<string> {
  for (const candidate of SDK_SOURCES) {
    const path = fileURLToPath(new URL(candidate, import.meta.url))
    if (await stat(join(path, "go.mod")).catch(() => undefined)) return path
  }
  throw FnError.of("TOOLCHAIN_MISSING", "the sources of the Go SDK are not beside this command: install @fn/cli again")
}

/** What a program needs of the SDK: no tests, no examples. */
async function belongsToSdk(path: string): Promise<boolean> {
  const name = basename(path)
  if (name.startsWith(".") || name === "testdata" || name === "examples" || name.endsWith("_test.go")) return false
  if (!(await stat(path)).isDirectory()) return /\.(go|mod|sum|md|s)$/.test(name) || name === "LICENSE"
  return (await readdir(path)).length > 0
}
