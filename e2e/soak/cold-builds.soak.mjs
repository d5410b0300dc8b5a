/**
 * What `fn init` writes in every language, built by the built `fn` with nothing kept from before, again with what that has kept, and once more from
 * another folder, again with nothing: how long it takes, how large it is, and that the same sources give the same bytes. In less than full length
 * compilers keep what they have, packages included: only `fn` itself begins with nothing.
 */
import { mkdirSync, rmSync } from "node:fs"
import { homedir } from "node:os"
import { join } from "node:path"
import { findOnPath } from "@fn/process"
import { deployFolder, fn } from "../support/fn.mjs"
import { startPlatform } from "../support/platform.mjs"
import { Tally } from "../support/tally.mjs"

export const name = "builds from nothing"

/**
 * Every template with what it is built with; those `inFullLength` alone take a minute, or are built as another is.
 * @type {{ template: string, tools: string[], inFullLength?: boolean }[]}
 */
const TEMPLATES = [
  { template: "ts", tools: [] },
  { template: "ts-plugin", tools: [] },
  { template: "go", tools: ["go"] },
  { template: "python", tools: ["python3"] },
  { template: "shell", tools: [] },
  { template: "command", tools: [], inFullLength: true },
  { template: "wasm-wat", tools: [] },
  { template: "ruby", tools: ["ruby"], inFullLength: true },
  { template: "php", tools: ["php"], inFullLength: true },
  { template: "rust", tools: ["cargo", "rustc"], inFullLength: true },
  { template: "wasm-rust", tools: ["cargo", "rustc"], inFullLength: true },
  { template: "java", tools: ["javac", "mvn"], inFullLength: true },
]

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const platform = await startPlatform({ hosts: 0 })
  try {
    for (const { template, tools, inFullLength } of TEMPLATES) {
      if (inFullLength && scale < 1) continue
      const missing = tools.find((tool) => findOnPath(tool) === undefined)
      if (missing === undefined) await buildTwice(platform, template, { tally, caches: scale < 1 ? fnCaches : emptyCaches })
      else console.warn(`SKIPPED: needs ${missing}: the template ${template} built from nothing`)
    }
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}

/**
 * @param {import("../support/platform.mjs").Platform} platform
 * @param {string} template
 * @param {{ tally: Tally, caches: typeof fnCaches }} options
 */
async function buildTwice(platform, template, { tally, caches }) {
  /** @param {string} place @param {string} namespace */
  const build = async (place, namespace) => {
    const folder = platform.folder.file(place)
    const dir = join(folder, `my-${template}`)
    const env = { ...caches(join(folder, "caches")), FN_NAMESPACE: namespace }
    mkdirSync(folder, { recursive: true })
    await fn(["init", dir, "--template", template], env)
    const deploy = async () => {
      const startedAt = performance.now()
      const deployed = await deployFolder(dir, { natsUrl: platform.server.url, env })
      return { ...deployed, seconds: (performance.now() - startedAt) / 1_000 }
    }
    return { folder, deploy, first: await deploy() }
  }
  const one = await build(`${template}/one`, "one")
  const again = await one.deploy()
  const other = await build(`${template}/a/deeper/other`, "other")
  const { artifact } = await platform.registry.getDefinition({ namespace: "one", name: `my-${template}`, version: "0.1.0" })
  const sizeKb = Math.ceil((artifact?.sizeBytes ?? 0) / 1024)
  tally.figure(`${template}: s from nothing, s again, KB`, `${one.first.seconds.toFixed(1)} ${again.seconds.toFixed(1)} ${sizeKb}`)
  tally.check(`${template}: artifacts that differ`, new Set([one.first.digest, again.digest, other.first.digest]).size - 1)
  for (const { folder } of [one, other]) rmSync(folder, { recursive: true, force: true })
}

/** Nothing that `fn` kept. @param {string} folder @returns {Record<string, string>} */
function fnCaches(folder) {
  return { FN_CACHE_DIR: join(folder, "fn") }
}

/**
 * Nothing that any tool kept; how the tools themselves are installed, and how they reach their packages, stays as it is.
 * @param {string} folder
 * @returns {Record<string, string>}
 */
function emptyCaches(folder) {
  return {
    ...fnCaches(folder),
    XDG_CACHE_HOME: join(folder, "xdg"),
    GOCACHE: join(folder, "go-build"),
    GOMODCACHE: join(folder, "go-modules"),
    // Else nobody but root could remove what it keeps.
    GOFLAGS: "-modcacherw",
    PIP_CACHE_DIR: join(folder, "pip"),
    CARGO_HOME: join(folder, "cargo"),
    RUSTUP_HOME: process.env.RUSTUP_HOME ?? join(homedir(), ".rustup"),
    MAVEN_OPTS: `-Dmaven.repo.local=${join(folder, "maven")}`,
  }
}
