import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"

/** Rust for tests. What several programs are built of is built once, quickly rather than well, and kept in the user's cache. */
export interface Rust {
  /** Folder of the Rust SDK. */
  readonly sdkFolder: string
  /** Environment in which cargo builds with what is kept. */
  readonly cargoEnv: Readonly<Record<string, string>>
  /** Builds the package in `folder`; resolves to its program of the same name. Rejects with the compiler's text. */
  build(folder: string, name: string): Promise<string>
  /** Runs the tests of the package in `folder`. Rejects with what they said. */
  test(folder: string): Promise<void>
}

/** The Rust toolchain; undefined where there is none. Tests that need it then say `SKIPPED: needs cargo: …`. */
export function findRust(): Rust | undefined {
  const cargo = findOnPath("cargo")
  if (!cargo || !findOnPath("rustc")) return undefined
  const targetFolder = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "fn", "rust-tests")
  const cargoEnv = { CARGO_TARGET_DIR: targetFolder, CARGO_TERM_COLOR: "never" }
  const run = async (folder: string, ...args: string[]): Promise<void> => {
    const child = spawnChild({ command: cargo, args, cwd: folder, env: { ...(process.env as Record<string, string>), ...cargoEnv } })
    const output: string[] = []
    for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
    const { code } = await child.exited
    if (code !== 0) throw new Error(`cargo ${args.join(" ")}: ${output.join("")}`)
  }
  return {
    sdkFolder: fileURLToPath(new URL("../../../sdk/rust", import.meta.url)),
    cargoEnv,
    build: async (folder, name) => {
      await run(folder, "build", "--locked", "--bin", name)
      return join(targetFolder, "debug", name)
    },
    test: (folder) => run(folder, "test", "--locked"),
  }
}
