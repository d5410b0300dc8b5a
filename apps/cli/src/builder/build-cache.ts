import { mkdir, readdir, rename, rm, stat, utimes } from "node:fs/promises"
import { homedir } from "node:os"
import { join } from "node:path"

/** Builds kept for the next time; beyond this many, those unused for longest go. */
const KEPT_BUILDS = 50
const STALE_MS = 60 * 60 * 1000

/** The folder of fn in the user's cache: `FN_CACHE_DIR`, `$XDG_CACHE_HOME/fn` or `~/.cache/fn`. An empty variable is unset. */
export function userCacheDir(env: Readonly<Record<string, string | undefined>>): string {
  if (env.FN_CACHE_DIR) return env.FN_CACHE_DIR
  return join(env.XDG_CACHE_HOME || join(env.HOME || homedir(), ".cache"), "fn")
}

/**
 * Finished artifacts by the digest of their sources: `{cacheDir}/builds/{digest}/artifact{extension}`. What they are called on a host is no
 * part of it: two functions of the same sources share one.
 *
 * An entry appears by one rename, so a build that was killed leaves no half artifact that a later one would take.
 */
export class BuildCache {
  readonly #dir: string
  readonly #fileName: string

  /** `extension` of the artifacts, such as `.mjs`; empty for programs. */
  constructor(cacheDir: string, extension: string) {
    this.#dir = join(cacheDir, "builds")
    this.#fileName = `artifact${extension}`
  }

  /** Path of the artifact built from these sources, if it is still there. */
  async find(sourceDigest: string): Promise<string | undefined> {
    const path = join(this.#entry(sourceDigest), this.#fileName)
    try {
      await stat(path)
      const now = new Date()
      await utimes(this.#entry(sourceDigest), now, now)
      return path
    } catch (thrown) {
      if ((thrown as NodeJS.ErrnoException).code === "ENOENT") return undefined
      throw thrown
    }
  }

  /** Lets `make` write the artifact into a folder of its own and keeps it. Two at once are fine: the first stays. */
  async keep(sourceDigest: string, make: (path: string) => Promise<void>): Promise<string> {
    const entry = this.#entry(sourceDigest)
    const draft = `${entry}.${process.pid}-${performance.now().toString(36).replace(".", "")}.draft`
    await mkdir(draft, { recursive: true })
    try {
      await make(join(draft, this.#fileName))
      await rename(draft, entry).catch((thrown: NodeJS.ErrnoException) => {
        if (thrown.code !== "ENOTEMPTY" && thrown.code !== "EEXIST") throw thrown
      })
    } finally {
      await rm(draft, { recursive: true, force: true })
    }
    await this.#trim()
    return join(entry, this.#fileName)
  }

  /** Drops the entries used longest ago, and drafts that a killed build left. */
  async #trim(): Promise<void> {
    const names = await readdir(this.#dir)
    const ages = await Promise.all(
      names.map(async (name) => {
        const path = join(this.#dir, name)
        const found = await stat(path).catch(() => undefined) // another process trims too
        return { path, draft: name.endsWith(".draft"), usedAt: found?.mtimeMs ?? Number.POSITIVE_INFINITY }
      }),
    )
    const drafts = ages.filter(({ draft, usedAt }) => draft && usedAt < Date.now() - STALE_MS)
    const builds = ages.filter(({ draft }) => !draft).sort((a, b) => b.usedAt - a.usedAt)
    await Promise.all([...drafts, ...builds.slice(KEPT_BUILDS)].map(({ path }) => rm(path, { recursive: true, force: true })))
  }

  #entry(sourceDigest: string): string {
    return join(this.#dir, sourceDigest.replace("sha256:", ""))
  }
}
