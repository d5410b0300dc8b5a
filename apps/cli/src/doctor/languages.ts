/** Which languages this machine can build, and what it would take. One entry per language, in the order they are shown. */
import { stat } from "node:fs/promises"
import { findOnPath } from "@fn/process"
import { runTool } from "../builder/run-tool.js"
import { environmentOf, type Io } from "../io.js"
import type { Lack, LanguageFinding } from "./report.js"

/** One program of a language. */
interface Program {
  readonly command: string
  readonly args: readonly string[]
  /** Without it `fn deploy` cannot build; absent: a host needs it, or nobody. */
  readonly remedy?: string
  /** Oldest version that will do. */
  readonly min?: string
  /** Name in the report, where it is not the command. */
  readonly name?: string
}

interface Language {
  readonly language: string
  readonly programs: readonly Program[]
  readonly note: string
  /** Where to get what hosts need and `fn deploy` does not. */
  readonly forHosts?: string
  readonly more?: (tools: Tools) => Promise<Partial<Pick<LanguageFinding, "found" | "lacks">>>
}

const WASI = "wasm32-wasip1"
const LANGUAGES: readonly Language[] = [
  { language: "js", programs: [{ command: "node", args: ["--version"] }], note: "fn deploy bundles it itself" },
  {
    language: "go",
    programs: [{ command: "go", args: ["version"], remedy: "install Go: https://go.dev/dl (or apt-get install golang-go)" }],
    note: "hosts need nothing",
  },
  {
    language: "python",
    programs: [
      { command: "python3", args: ["--version"], min: "3.9", remedy: "apt-get install python3 python3-pip" },
      { command: "python3", args: ["-m", "pip", "--version"], name: "pip", remedy: "apt-get install python3 python3-pip" },
      { command: "python3", args: ["-c", "import grpc; print(grpc.__version__)"], name: "grpcio" },
    ],
    note: "hosts need the same python3; grpcio is packed with the function",
  },
  {
    language: "rust",
    programs: [
      { command: "cargo", args: ["--version"], remedy: "install Rust: https://rustup.rs" },
      { command: "rustc", args: ["--version"], remedy: "install Rust: https://rustup.rs" },
    ],
    note: "a program, or WebAssembly; hosts need nothing",
    more: rustTarget,
  },
  {
    language: "java",
    programs: [
      { command: "java", args: ["-version"], min: "17", remedy: "apt-get install openjdk-17-jdk-headless" },
      { command: "mvn", args: ["--version"], remedy: "apt-get install maven" },
    ],
    note: "hosts need java",
  },
  {
    language: "ruby",
    programs: [{ command: "ruby", args: ["--version"] }],
    note: "a command: hosts need ruby",
    forHosts: "apt-get install ruby",
  },
  {
    language: "php",
    programs: [{ command: "php", args: ["--version"] }],
    note: "a command: hosts need php",
    forHosts: "apt-get install php-cli",
  },
  {
    language: "dotnet",
    programs: [{ command: "dotnet", args: ["--version"] }],
    note: "a command, built by its own build: hosts need dotnet",
    forHosts: "https://dotnet.microsoft.com/download",
  },
  { language: "wat", programs: [{ command: "wat2wasm", args: ["--version"] }], note: "fn deploy assembles it itself" },
  { language: "shell", programs: [{ command: "sh", args: ["-c", "echo 0"], name: "sh" }], note: "a command: hosts need its programs" },
]

const PATIENCE_MS = 20_000

/** How programs are looked for and run. */
interface Tools {
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly signal: AbortSignal
}

/** Asks every toolchain for its version, all at once. */
export async function examineLanguages(io: Pick<Io, "env" | "cwd" | "signal">): Promise<LanguageFinding[]> {
  const tools: Tools = { env: environmentOf(io), cwd: io.cwd, signal: AbortSignal.any([io.signal, AbortSignal.timeout(PATIENCE_MS)]) }
  return Promise.all(LANGUAGES.map((language) => examine(language, tools)))
}

async function examine({ language, programs, note, forHosts, more }: Language, tools: Tools): Promise<LanguageFinding> {
  const [answers, rest] = await Promise.all([
    Promise.all(programs.map(async (program) => ({ program, version: await versionOf(program, tools) }))),
    more?.(tools),
  ])
  const found: Record<string, string> = {}
  const lacks: Lack[] = []
  for (const { program, version } of answers) {
    const name = program.name ?? program.command
    if (version !== undefined) found[name] = version
    const isOld = version !== undefined && program.min !== undefined && olderThan(version, program.min)
    if (program.remedy !== undefined && (version === undefined || isOld))
      lacks.push({ what: isOld ? `${name} ${program.min} or newer, not ${version}` : name, remedy: program.remedy })
  }
  return {
    language,
    found: { ...found, ...rest?.found },
    lacks: oncePerRemedy([...lacks, ...(rest?.lacks ?? [])]),
    note,
    ...(forHosts === undefined ? {} : { forHosts }),
  }
}

/** What two programs lack is one thing to install. */
function oncePerRemedy(lacks: readonly Lack[]): Lack[] {
  const byRemedy = new Map<string, string[]>()
  for (const { what, remedy } of lacks) byRemedy.set(remedy, [...(byRemedy.get(remedy) ?? []), what])
  return [...byRemedy].map(([remedy, what]) => ({ what: what.join(", "), remedy }))
}

/** Undefined where the program is not there, or does not run. */
async function versionOf({ command, args }: Program, tools: Tools): Promise<string | undefined> {
  const said = await output(command, args, tools)
  return said === undefined ? undefined : (/\d+\.\d+(\.\d+)*/.exec(said)?.[0] ?? "there")
}

async function output(command: string, args: readonly string[], { env, cwd, signal }: Tools): Promise<string | undefined> {
  const path = findOnPath(command, env.PATH ?? "")
  if (path === undefined) return undefined
  try {
    const { exit, stdout, stderr } = await runTool(path, { args, cwd, env, signal: AbortSignal.any([signal]) }) // one each: they add listeners
    return exit.code === 0 ? `${stdout}${stderr}` : undefined
  } catch {
    return undefined // it does not start, or does not answer: as good as not there
  }
}

function olderThan(version: string, min: string): boolean {
  const [own = [], other = []] = [version, min].map((text) => text.split(".").map(Number))
  for (const [at, part] of other.entries()) if (own[at] !== part) return (own[at] ?? 0) < part
  return false
}

/** The standard library for WASI; rustup fetches it at the first build. */
async function rustTarget(tools: Tools): Promise<Partial<Pick<LanguageFinding, "found" | "lacks">>> {
  const folder = await output("rustc", ["--print", "target-libdir", "--target", WASI], tools)
  if (folder === undefined) return {}
  if (await stat(folder.trim()).catch(() => undefined)) return { found: { [WASI]: "there" } }
  if (findOnPath("rustup", tools.env.PATH ?? "") !== undefined) return { found: { [WASI]: "fetched by the first build" } }
  return { lacks: [{ what: WASI, remedy: `install Rust by rustup, then rustup target add ${WASI}` }] }
}
