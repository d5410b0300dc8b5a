/** Functions of every kind on a host whose policy is strict. */
import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { chmod, cp, mkdtemp, readdir, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath } from "@fn/process"
import type { FunctionManifest } from "@fn/registry"
import { findJava, findPython, javaNeeds, tempDir, until } from "@fn/testing"
import type { Msg } from "@nats-io/transport-node"
import { build } from "esbuild"
import type { RuntimeOptions } from "../../src/index.js"
import { go, runGo } from "../plugin/go-program.js"
import { startTestHost, type TestHost } from "../test-host.js"

const SYSTEM_PYTHON = "/usr/bin/python3"

/** Whether strict hosts can run here; says loudly if not. */
export function canIsolate(what: string): boolean {
  const need =
    process.platform !== "linux" ? "linux" : process.getuid?.() !== 0 ? "root" : findOnPath("bwrap") === undefined ? "bwrap" : undefined
  if (need !== undefined) console.warn(`SKIPPED: needs ${need}: ${what}`)
  return need === undefined
}

/** A handler's body that has `event`, and gives the data it returns: as a module, and as a plugin of our SDK. */
export type Body = string

export interface IsolatedHost extends TestHost {
  module(name: string, body: Body, manifest?: Partial<FunctionManifest>): Promise<void>
  /** A bundled plugin of our SDK, which serves go-plugin. */
  plugin(name: string, body: Body, manifest?: Partial<FunctionManifest>): Promise<void>
  script(name: string, script: string, manifest?: Partial<FunctionManifest>): Promise<void>
  /** Calls a function with a time-out and gives its answer. */
  call(name: string, payload?: unknown, timeoutMs?: number): Promise<Msg>
}

export async function startIsolatedHost(options: Partial<RuntimeOptions> = {}): Promise<IsolatedHost> {
  const host = await startTestHost({ isolation: { policy: "strict" }, ...options })
  const languages = new Map<string, string>()
  /** A host that does not know yet what its machine can enforce takes its time over the first function that asks. */
  const judged = async (name: string): Promise<void> =>
    void (await until(() => host.runtime.status().functions.some((fn) => fn.function === `default/${name}`), {
      name: `${name} to be known`,
    }))
  return {
    ...host,
    module: async (name, body, manifest = {}) => {
      languages.set(name, "js")
      await host.deployModule(
        name,
        `export default async (event) => ({ type: "answer", data: await (async () => { ${body} })() })`,
        manifest,
      )
      await judged(name)
    },
    plugin: async (name, body, manifest = {}) => {
      languages.set(name, "js")
      const artifact = await bundlePlugin(body)
      await host.deploy({ name, language: "js", runtime: "plugin", entry: "main.js", ...manifest }, { artifact, fileName: `${name}.mjs` })
      await judged(name)
    },
    script: async (name, script, manifest = {}) => {
      languages.set(name, "shell")
      await host.deploy(
        { name, language: "shell", runtime: "command", entry: `${name}.sh`, ...manifest },
        { artifact: Buffer.from(`#!/bin/sh\n${script}\n`), fileName: `${name}.sh` },
      )
      await judged(name)
    },
    call: (name, payload = {}, timeoutMs = 30_000) =>
      host.request(
        `function.${languages.get(name)}.${name}`,
        JSON.stringify(payload),
        { "Fn-Timeout-Ms": String(timeoutMs) },
        timeoutMs + 10_000,
      ),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}

function bundlePlugin(body: Body): Promise<Buffer> {
  return bundle(`import { defineFunction, servePlugin } from "@fn/plugin-sdk"
    servePlugin(defineFunction({ name: "plugin", handler: async (event) => ({ type: "answer", data: await (async () => { ${body} })() }) }))`)
}

/** A program for Node and everything it imports, in one file. */
export async function bundle(contents: string): Promise<Buffer> {
  const { outputFiles } = await build({
    stdin: { contents, resolveDir: fileURLToPath(new URL(".", import.meta.url)), loader: "js" },
    bundle: true,
    platform: "node",
    format: "esm",
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
    write: false,
    logLevel: "error",
  })
  return Buffer.from((outputFiles[0] as { contents: Uint8Array }).contents)
}

/** What a Python plugin needs to run as another user: an interpreter of the system, and folders with its packages that everybody may read. */
export interface SystemPython {
  readonly packages: string
  readonly pythonPath: readonly string[]
  remove(): Promise<void>
}

/** Copies the packages of the Python SDK; undefined, loudly, where they or an interpreter for them are not there. */
export async function copyPython(what: string): Promise<SystemPython | undefined> {
  const python = findPython()
  const versionOf = (executable: string) =>
    execFileSync(executable, ["-c", "import sysconfig; print(sysconfig.get_path('purelib'), sysconfig.get_config_var('SOABI'))"], {
      encoding: "utf8",
    })
      .trim()
      .split(" ")
  const own = python && versionOf(python.executable)
  if (!python || !own?.[0] || !existsSync(SYSTEM_PYTHON) || versionOf(SYSTEM_PYTHON)[1] !== own[1]) {
    console.warn(`SKIPPED: needs ${SYSTEM_PYTHON} with grpcio (npm run setup): ${what}`)
    return undefined
  }
  const packages = await mkdtemp(join(tmpdir(), "fn-python-isolated-"))
  const [site] = own
  const wanted = (await readdir(site)).filter((name) =>
    /^(_cffi_backend|cffi|cryptography|google|grpc|typing_extensions)\b[^-]*$/.test(name),
  )
  for (const name of wanted) await cp(join(site, name), join(packages, name), { recursive: true })
  await cp(python.sdkFolder, join(packages, "sdk"), { recursive: true })
  await chmod(packages, 0o755)
  return { packages, pythonPath: [packages, join(packages, "sdk")], remove: () => rm(packages, { recursive: true, force: true }) }
}

/** The Go plugin of the contract tests, or undefined where there is no Go. */
export async function buildGoPlugin(): Promise<{ path: string; remove(): Promise<void> } | undefined> {
  if (go === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), "fn-go-isolated-"))
  await chmod(folder, 0o755)
  const path = join(folder, "everything")
  await runGo(["build", "-o", path, "."], fileURLToPath(new URL("../plugin/fixtures/go-everything", import.meta.url)))
  return { path, remove: () => rm(folder, { recursive: true, force: true }) }
}

/** The Java plugin of the contract tests, or undefined, loudly, where there is no Java. */
export async function buildJavaPlugin(what: string): Promise<Buffer | undefined> {
  const java = findJava()
  if (java === undefined) {
    console.warn(`SKIPPED: needs ${javaNeeds()}: ${what} (npm run setup)`)
    return undefined
  }
  await using target = await tempDir("fn-java-isolated-")
  const source = fileURLToPath(new URL("../plugin/fixtures/java-everything", import.meta.url))
  await java.maven(source, "package", `-Dfn.target=${target.path}`)
  return await readFile(target.file("function.jar"))
}
