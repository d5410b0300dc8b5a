import { existsSync, readdirSync } from "node:fs"
import { mkdir, mkdtemp, rename, rm } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"
import { compareVersions, isVersion } from "@fn/core"

/**
 * Where fetched servers are kept: `{cacheDir}/{version}/nats-server`.
 * Files get there by rename alone, so what is there is whole.
 */
export const SERVER_FILE = "nats-server"

/** `$XDG_CACHE_HOME/fn/nats-server`, else below `~/.cache`. */
export function defaultCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "fn", "nats-server")
}

/** Path of the server of `version` in the cache, whether it is there or not. */
export function cachedServer(cacheDir: string, version: string): string {
  return join(cacheDir, version, SERVER_FILE)
}

/** Versions in the cache, newest first. */
export function cachedVersions(cacheDir: string): string[] {
  if (!existsSync(cacheDir)) return []
  return readdirSync(cacheDir)
    .filter((entry) => isVersion(entry) && existsSync(cachedServer(cacheDir, entry)))
    .sort((a, b) => compareVersions(b, a))
}

/** Runs `fetch` in a work folder of its own beside the cached versions, then moves the program it made into place. */
export async function addToCache(
  cacheDir: string,
  fetch: (workDir: string) => Promise<{ program: string; version: string }>,
): Promise<{ path: string; version: string }> {
  await mkdir(cacheDir, { recursive: true })
  const workDir = await mkdtemp(join(cacheDir, ".work-"))
  try {
    const { program, version } = await fetch(workDir)
    const path = cachedServer(cacheDir, version)
    await mkdir(join(cacheDir, version), { recursive: true })
    await rename(program, path)
    return { path, version }
  } finally {
    await rm(workDir, { recursive: true, force: true })
  }
}
