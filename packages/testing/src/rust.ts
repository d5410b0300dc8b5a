import { homedir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"

/** Rust for tests. What several programs are built of is built once, quickly rather than well, and kept in the user's cache. */
export interface Rust {
  /** Folder of the Rust SDK. */
  readonly sdkFolder: string
  /** Environment in which `fn deploy` builds with what is kept. */
  readonly builderEnv: Readonly<Record<string, string>>
  /** Builds the package in `folder`; resolves to its program of the same name. Rejects with the compiler's text. */
  build(folder: string, name: string): Promise<string>
  /** Runs the tests of the package in `folder`; resolves to what they said, and rejects with it. */
  test(folder: string): Promise<string>
}

/** The Rust toolchain; undefined where there is none. Tests that need it then say `SKIPPED: needs cargo: …`. */
export function findRust(): Rust | undefined {
  const cargo = findOnPath("cargo")
  if (!cargo || !findOnPath("rustc")) return undefined
  const kept = join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "fn", "rust-tests")
  const [target, buildDir] = [join(kept, "target"), join(kept, "build")]
  const cargoHome = process.env.CARGO_HOME || join(homedir(), ".cargo")
  const builderEnv = { CARGO_BUILD_BUILD_DIR: buildDir, CARGO_PROFILE_RELEASE_OPT_LEVEL: "0" }
  // As the builder sets it: other flags, and all would be built twice.
  const flags = [`--remap-path-prefix=${cargoHome}=/cargo`, `--remap-path-prefix=${buildDir}=/build`].join("\u001f")
  const settings = { CARGO_PROFILE_RELEASE_STRIP: "symbols", CARGO_TERM_COLOR: "never", CARGO_ENCODED_RUSTFLAGS: flags }
  const env = { ...(process.env as Record<string, string>), ...builderEnv, ...settings, CARGO_TARGET_DIR: target }
  const run = async (folder: string, ...args: string[]): Promise<string> => {
    const child = spawnChild({ command: cargo, args, cwd: folder, env })
    const output: string[] = []
    for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
    const { code } = await child.exited
    if (code !== 0) throw new Error(`cargo ${args.join(" ")}: ${output.join("")}`)
    return output.join("")
  }
  return {
    sdkFolder: fileURLToPath(new URL("../../../sdk/rust", import.meta.url)),
    builderEnv,
    build: async (folder, name) => {
      await run(folder, "build", "--release", "--locked", "--bin", name)
      return join(target, "release", name)
    },
    test: async (folder) => await run(folder, "test", "--release", "--locked"),
  }
}
