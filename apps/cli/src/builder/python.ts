/**
 * Python: an archive of the author's files, the packages they need and the SDK. Packages are locked by hash in requirements.lock, which is made
 * by the first build as cargo makes its own; wheels alone are taken, so that nothing runs while it is installed and the same lock gives the same
 * bytes. Wheels may be for one platform and one Python: the archive knows which, and says so where it is started by another.
 */
import { cp, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { basename, dirname, join, relative, resolve } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import { filesToPack, packArchive } from "@fn/registry"
import { findPythonSdk } from "../project/python-sdk.js"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { digestOf, SourceDigest } from "./digest.js"
import { buildFailed, runTool, type ToolOptions } from "./run-tool.js"

const DEFAULT_ENTRY = "main.py"
const REQUIREMENTS = "requirements.txt"
const LOCK = "requirements.lock"
/** What the SDK needs of others: pyproject.toml of sdk/python. */
const SDK_REQUIREMENTS = ["cryptography>=42", "grpcio>=1.60", "protobuf>=4.25"]
/** Folders that are no part of a program; those with a leading dot are none either. */
const LEFT_OUT: ReadonlySet<string> = new Set(["__pycache__", "node_modules", "venv", "build", "dist", "tests"])
/** Files that a function does not need where it runs. */
const NOT_RUN = /^(fn\.yaml|requirements\.(txt|lock)|.*\.(pyc|md)|(test_.*|.*_test)\.py)$/
/** What pip writes down of how and where it installed. */
const INSTALL_NOTES: ReadonlySet<string> = new Set(["RECORD", "INSTALLER", "REQUESTED", "direct_url.json"])
const PIP_OPTIONS = ["--disable-pip-version-check", "--no-input", "--only-binary", ":all:"]
const WHAT_PYTHON = "import sys, sysconfig; print(sys.implementation.cache_tag, sysconfig.get_platform())"

/** Whether `entry` is for this builder, and not a folder or program that somebody made. */
export function isPython(entry: string | undefined): boolean {
  return entry === undefined || entry.endsWith(".py")
}

/** @throws {FnError} TOOLCHAIN_MISSING without Python and pip; BUILD_FAILED with their text; INVALID_DEFINITION when there is no such file */
export async function buildPython(input: BuildInput): Promise<BuiltArtifact> {
  const entry = input.manifest.entry ?? DEFAULT_ENTRY
  const path = resolve(input.dir, entry)
  if (!(await isFile(path))) throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: there is no file ${entry} in ${input.dir}`)
  const python = new PythonTools(input)
  const builtFor = await python.describe()
  const lock = await python.lock()

  const folder = dirname(path)
  const files = await sourceFiles(folder)
  const sdk = await findPythonSdk(input.dir)
  const sources = new SourceDigest()
  sources.add("python", builtFor)
  sources.add("start", startProgram(basename(path), builtFor))
  sources.add("lock", pinsOf(lock.text))
  for (const file of files) await sources.addFile(`app/${relative(folder, file)}`, file)
  for (const file of await sourceFiles(sdk)) await sources.addFile(`sdk/${relative(sdk, file)}`, file)

  const cache = new BuildCache(input.cacheDir, ".tar")
  const kept = await cache.find(sources.value)
  const artifact =
    kept ??
    (await cache.keep(sources.value, async (draft) => {
      const stage = await mkdtemp(join(tmpdir(), "fn-python-"))
      try {
        for (const file of files) await cp(file, join(stage, "app", relative(folder, file)))
        await python.install(lock.path, join(stage, "vendor"))
        for (const file of await sourceFiles(sdk)) await cp(file, join(stage, "vendor/fn_sdk", relative(sdk, file)))
        await writeFile(join(stage, "__main__.py"), startProgram(basename(path), builtFor))
        await python.compile(stage)
        await packArchive(await filesToPack(stage), draft)
      } finally {
        await rm(stage, { recursive: true, force: true })
      }
    }))
  return {
    path: artifact,
    fileName: `${input.manifest.name}.tar`,
    archive: true,
    sourceDigest: sources.value,
    inputs: [...files, ...lock.inputs],
    warnings: [],
    declared: { settings: { command: ["python3", "{artifact}"] } },
    cached: kept !== undefined,
  }
}

/** The file that is run: it finds the packages, and says when they are for another Python. */
function startProgram(entry: string, builtFor: string): string {
  return `"""Starts the function. Written by fn."""

import os
import runpy
import sys
import sysconfig

BUILT_FOR = ${JSON.stringify(builtFor)}

found = f"{sys.implementation.cache_tag} {sysconfig.get_platform()}"
if found != BUILT_FOR:
    sys.exit(f"this function was built for {BUILT_FOR}, and the python3 of this host is {found}: build it with such a Python")
here = os.path.dirname(os.path.abspath(__file__))
app = os.path.join(here, "app")
sys.path[0:1] = [app, os.path.join(here, "vendor")]
runpy.run_path(os.path.join(app, ${JSON.stringify(entry)}), run_name="__main__")
`
}

/** python3 and its pip. */
class PythonTools {
  readonly #input: BuildInput
  readonly #python: string
  readonly #tool: Omit<ToolOptions, "args">

  constructor(input: BuildInput) {
    const python = findOnPath("python3", input.env.PATH ?? "")
    if (python === undefined) throw missing("there is no python3 on PATH (https://www.python.org/downloads has it)")
    this.#input = input
    this.#python = python
    this.#tool = { cwd: input.dir, env: { ...input.env, PYTHONHASHSEED: "0", PYTHONDONTWRITEBYTECODE: "1" }, signal: input.signal }
  }

  /** Its version and platform, as wheels distinguish them. */
  async describe(): Promise<string> {
    const said = await runTool(this.#python, { ...this.#tool, args: ["-c", WHAT_PYTHON] })
    if (said.exit.code !== 0) throw missing(`python3 does not start: ${said.stderr.trim()}`)
    const pip = await runTool(this.#python, { ...this.#tool, args: ["-m", "pip", "--version"] })
    if (pip.exit.code !== 0) throw missing("this python3 has no pip (your system has it as python3-pip)")
    return said.stdout.trim()
  }

  /** The lock of the function's packages, made or renewed where it is ours to make. */
  async lock(): Promise<{ path: string; text: string; inputs: string[] }> {
    const path = join(this.#input.dir, LOCK)
    const requirementsPath = join(this.#input.dir, REQUIREMENTS)
    const requirements = await readFile(requirementsPath, "utf8").catch(() => undefined)
    const inputs = requirements === undefined ? [] : [requirementsPath]
    if (requirements?.includes("--hash=")) return { path: requirementsPath, text: requirements, inputs }
    const wanted = digestOf([requirements ?? "", ...SDK_REQUIREMENTS].join("\n"))
    const found = await readFile(path, "utf8").catch(() => undefined)
    const madeFor = found === undefined ? undefined : /^# made by fn for (sha256:\S+)$/m.exec(found)?.[1]
    // One that another tool made is the author's word.
    if (found !== undefined && (madeFor === undefined || madeFor === wanted)) return { path, text: found, inputs: [...inputs, path] }
    this.#input.onProgress(`locking Python packages in ${LOCK}`)
    const text = `# made by fn for ${wanted}\n${await this.#resolve(requirements === undefined ? [] : ["-r", requirementsPath])}`
    await writeFile(path, text)
    return { path, text, inputs: [...inputs, path] }
  }

  /** Installs exactly what the lock says into `target`. */
  async install(lock: string, target: string): Promise<void> {
    this.#input.onProgress("installing Python packages")
    const args = ["-m", "pip", "install", ...PIP_OPTIONS, "--no-deps", "--no-compile", "--require-hashes", "--target", target, "-r", lock]
    const installed = await runTool(this.#python, { ...this.#tool, args })
    if (installed.exit.code !== 0) throw buildFailed(`the Python packages of ${basename(lock)} do not install`, installed)
    for (const needed of ["grpc", "google/protobuf", "cryptography"])
      if (!(await stat(join(target, needed)).catch(() => undefined)))
        throw FnError.of("BUILD_FAILED", `${basename(lock)} lacks what the SDK needs: ${SDK_REQUIREMENTS.join(", ")}`)
    await rm(join(target, "bin"), { recursive: true, force: true })
    for (const entry of await readdir(target, { recursive: true, withFileTypes: true }))
      if (INSTALL_NOTES.has(entry.name) && entry.parentPath.endsWith(".dist-info")) await rm(join(entry.parentPath, entry.name))
  }

  /** Compiles all modules, so that no host does; the bytes depend neither on times nor on places. A source that does not compile is told. */
  async compile(stage: string): Promise<void> {
    this.#input.onProgress("compiling Python")
    const options = ["-q", "--invalidation-mode", "unchecked-hash", "-s", stage, "-p", "/function"]
    const compile = (folder: string) =>
      runTool(this.#python, { ...this.#tool, args: ["-m", "compileall", ...options, join(stage, folder)] })
    const own = await compile("app")
    if (own.exit.code !== 0) throw buildFailed("the Python sources do not compile", own)
    // Packages may bring files for other versions of Python; those are never imported here.
    await compile("vendor")
  }

  async #resolve(requirements: readonly string[]): Promise<string> {
    const args = ["-m", "pip", "install", ...PIP_OPTIONS, "--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    const resolved = await runTool(this.#python, { ...this.#tool, args: [...args, ...requirements, ...SDK_REQUIREMENTS] })
    if (resolved.exit.code !== 0) throw buildFailed("the Python packages cannot be resolved", resolved)
    const { install } = JSON.parse(resolved.stdout) as { install: readonly Resolved[] }
    const lines = install.map(({ metadata, download_info: { archive_info } }) => {
      const hash = archive_info?.hashes?.sha256
      if (hash === undefined) throw FnError.of("BUILD_FAILED", `${metadata.name} is no archive of a version, so it cannot be locked`)
      return `${metadata.name}==${metadata.version} --hash=sha256:${hash}\n`
    })
    return lines.sort().join("")
  }
}

/** The part of pip's report that a lock is made of. */
interface Resolved {
  readonly metadata: { readonly name: string; readonly version: string }
  readonly download_info: { readonly archive_info?: { readonly hashes?: { readonly sha256?: string } } }
}

/** What a lock says, without its comments. */
function pinsOf(lock: string): string {
  return lock.replace(/^#.*\n?/gm, "")
}

async function sourceFiles(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const below = entries
    .filter(({ name }) => !name.startsWith(".") && !LEFT_OUT.has(name) && !NOT_RUN.test(name))
    .map(async (entry) => (entry.isDirectory() ? await sourceFiles(join(folder, entry.name)) : [join(folder, entry.name)]))
  return (await Promise.all(below)).flat().sort()
}

async function isFile(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined))?.isFile() ?? false
}

function missing(why: string): FnError {
  return FnError.of("TOOLCHAIN_MISSING", `building this function needs Python 3.9 or newer with pip, and ${why}`, {
    details: { toolchain: "python3" },
  })
}
