/** Functions of every kind on a host whose policy is strict. */
import { chmod, mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath } from "@fn/process"
import type { FunctionManifest } from "@fn/registry"
import type { Msg } from "@nats-io/transport-node"
import { build } from "esbuild"
import type { RuntimeOptions } from "../../src/index.js"
import { go, runGo } from "../plugin/go-program.js"
import { startTestHost, type TestHost } from "../test-host.js"

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
  return {
    ...host,
    module: async (name, body, manifest = {}) => {
      languages.set(name, "js")
      await host.deployModule(
        name,
        `export default async (event) => ({ type: "answer", data: await (async () => { ${body} })() })`,
        manifest,
      )
    },
    plugin: async (name, body, manifest = {}) => {
      languages.set(name, "js")
      const artifact = await bundlePlugin(body)
      await host.deploy({ name, language: "js", runtime: "plugin", entry: "main.js", ...manifest }, { artifact, fileName: `${name}.mjs` })
    },
    script: async (name, script, manifest = {}) => {
      languages.set(name, "shell")
      await host.deploy(
        { name, language: "shell", runtime: "command", entry: `${name}.sh`, ...manifest },
        { artifact: Buffer.from(`#!/bin/sh\n${script}\n`), fileName: `${name}.sh` },
      )
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

async function bundlePlugin(body: Body): Promise<Buffer> {
  const contents = `import { defineFunction, servePlugin } from "@fn/plugin-sdk"
    servePlugin(defineFunction({ name: "plugin", handler: async (event) => ({ type: "answer", data: await (async () => { ${body} })() }) }))`
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

/** The Go plugin of the contract tests, or undefined where there is no Go. */
export async function buildGoPlugin(): Promise<{ path: string; remove(): Promise<void> } | undefined> {
  if (go === undefined) return undefined
  const folder = await mkdtemp(join(tmpdir(), "fn-go-isolated-"))
  await chmod(folder, 0o755)
  const path = join(folder, "everything")
  await runGo(["build", "-o", path, "."], fileURLToPath(new URL("../plugin/fixtures/go-everything", import.meta.url)))
  return { path, remove: () => rm(folder, { recursive: true, force: true }) }
}
