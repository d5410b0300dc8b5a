import { access, constants, stat } from "node:fs/promises"
import { basename, resolve } from "node:path"
import { FnError } from "@fn/core"
import { artifactFileName } from "@fn/registry"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { digestOfFile } from "./digest.js"

/** A file that is the artifact as it lies there: a binary, a script, a .wasm. @throws {FnError} INVALID_DEFINITION, PLUGIN_NOT_EXECUTABLE */
export async function takePrebuilt(input: BuildInput): Promise<BuiltArtifact> {
  const { entry, runtime, command } = input.manifest
  const path = resolve(input.dir, entry ?? ".")
  const found = await stat(path).catch(() => undefined)
  if (!found?.isFile()) {
    const why = entry === undefined ? "it is missing; it must name the program to deploy" : `there is no file ${entry} in ${input.dir}`
    throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: ${why}`)
  }
  if (runtime === "plugin" && command === undefined && !/\.[cm]?js$/.test(path)) await checkExecutable(path, entry ?? path)
  return {
    path,
    fileName: artifactFileName(basename(path)),
    sourceDigest: await digestOfFile(path),
    inputs: [path],
    warnings: [],
    cached: false,
  }
}

async function checkExecutable(path: string, entry: string): Promise<void> {
  await access(path, constants.X_OK).catch((cause: unknown) => {
    throw FnError.of("PLUGIN_NOT_EXECUTABLE", `${entry} is not executable: chmod +x ${entry}`, { cause })
  })
}
