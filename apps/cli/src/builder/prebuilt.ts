import { access, constants, open, stat } from "node:fs/promises"
import { basename, resolve } from "node:path"
import { FnError } from "@fn/core"
import { artifactFileName } from "@fn/registry"
import { packFolder } from "./archive.js"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { digestOfFile } from "./digest.js"

/** How much of a first line the kernel reads. */
const FIRST_LINE_BYTES = 256
/** First bytes of ELF, Mach-O (both byte orders, and several in one) and PE programs. */
const PROGRAM_HEADS = ["7f454c46", "cffaedfe", "cefaedfe", "feedfacf", "feedface", "cafebabe", "4d5a"]

/**
 * What is the artifact as it lies there: a binary, a script, a .wasm, a folder of files.
 * @throws {FnError} INVALID_DEFINITION, PLUGIN_NOT_EXECUTABLE, COMMAND_NOT_EXECUTABLE, BUILD_FAILED for a folder that cannot be packed
 */
export async function takePrebuilt(input: BuildInput): Promise<BuiltArtifact> {
  const { entry, runtime, command } = input.manifest
  const path = resolve(input.dir, entry ?? ".")
  const found = await stat(path).catch(() => undefined)
  if (found?.isDirectory() && entry !== undefined && (runtime === "command" || runtime === "plugin")) return packFolder(input, path)
  if (!found?.isFile()) {
    const why = entry === undefined ? "it is missing; it must name the program to deploy" : `there is no file ${entry} in ${input.dir}`
    throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: ${why}`)
  }
  if (command === undefined && !/\.[cm]?js$/.test(path)) {
    if (runtime === "plugin") await checkExecutable(path, entry ?? path)
    if (runtime === "command") await checkRunnable(path, entry ?? path)
  }
  return {
    path,
    fileName: artifactFileName(basename(path)),
    sourceDigest: await digestOfFile(path),
    inputs: [path],
    warnings: [],
    cached: false,
  }
}

/** A command without `command` is run by the kernel, so the kernel must know how. Hosts set the executable bit themselves. */
async function checkRunnable(path: string, entry: string): Promise<void> {
  const head = await headOf(path)
  if (PROGRAM_HEADS.some((magic) => head.toString("hex").startsWith(magic))) return
  const line = head.toString("latin1").split("\n", 1)[0] as string
  if (!line.startsWith("#!")) {
    const hint = `begin it with #!/usr/bin/env and its language, or say in fn.yaml how it is run, such as command: [ruby, "{artifact}"]`
    throw FnError.of("COMMAND_NOT_EXECUTABLE", `${entry} is neither a program nor a script that says what runs it: ${hint}`)
  }
  if (line.endsWith("\r"))
    throw FnError.of("COMMAND_NOT_EXECUTABLE", `${entry}: its first line ends in a carriage return; save it with line feeds`)
}

async function headOf(path: string): Promise<Buffer> {
  const file = await open(path, "r")
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(FIRST_LINE_BYTES))
    return buffer.subarray(0, bytesRead)
  } finally {
    await file.close()
  }
}

async function checkExecutable(path: string, entry: string): Promise<void> {
  await access(path, constants.X_OK).catch((cause: unknown) => {
    throw FnError.of("PLUGIN_NOT_EXECUTABLE", `${entry} is not executable: chmod +x ${entry}`, { cause })
  })
}
