/**
 * Finds a nats-server, or fetches one, so that `fn dev` needs nothing but Node.
 *
 * In this order: the path given → PATH → the cache → an official release archive whose SHA-256 is pinned → `go install` of the pinned version →
 * the distribution's package. What had to be fetched stays in the cache; only one process fetches at a time. A step that
 * cannot work here says why, and only when all have failed is that an error.
 */
import { delimiter, join } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { findOnPath } from "@fn/process"
import { addToCache, cachedServer, cachedVersions, defaultCacheDir } from "./cache.js"
import { unpackDebianPackage } from "./debian.js"
import { goInstall } from "./go-install.js"
import { withLock } from "./lock.js"
import { type DownloadOptions, downloadRelease } from "./release.js"
import { isAtLeast, MIN_SERVER_VERSION, readServerVersion } from "./version.js"

/** Settings of {@link findNatsServer}. */
export interface FindServerOptions {
  /** Take this one or fail. Default: the variable FN_NATS_SERVER. */
  readonly explicitPath?: string | undefined
  /** Default: `$XDG_CACHE_HOME/fn/nats-server`. */
  readonly cacheDir?: string | undefined
  /** Older servers are passed over. Default 2.9.10. */
  readonly minVersion?: string | undefined
  /** Gets one line for whatever is fetched. */
  readonly onProgress?: ((line: string) => void) | undefined
  /** Default: this process's. Read: FN_NATS_SERVER, PATH, HOME, XDG_CACHE_HOME; `go` and `apt-get` get all of it. */
  readonly env?: Readonly<Record<string, string | undefined>> | undefined
  /** Ways of fetching, tried in order. Default: all. */
  readonly fetch?: readonly ServerFetch[] | undefined
  /** Folders looked through after PATH. Default: those where only root's PATH leads, and Debian installs. */
  readonly systemFolders?: readonly string[] | undefined
  /** Which release, and from where, should it not be the pinned one. */
  readonly release?: Omit<DownloadOptions, "onProgress"> | undefined
}

/** A way of fetching a server. */
export type ServerFetch = "release" | "go" | "debian"

/** A server that runs here. */
export interface FoundServer {
  readonly path: string
  readonly version: string
  readonly source: "explicit" | "path" | "cache" | ServerFetch
}

const FETCHES: readonly ServerFetch[] = ["release", "go", "debian"]
/** Long enough for another process to build one. */
const LOCK_TIMEOUT_MS = 15 * 60_000

/** See the head of this file. @throws {FnError} unavailable NATS_SERVER_MISSING saying for every step why it gave none */
export async function findNatsServer(options: FindServerOptions = {}): Promise<FoundServer> {
  const env = options.env ?? process.env
  const explicit = options.explicitPath ?? (env.FN_NATS_SERVER || undefined)
  if (explicit !== undefined) return { path: explicit, version: await requireVersion(explicit, minOf(options)), source: "explicit" }

  const failures: string[] = []
  const cacheDir = options.cacheDir ?? defaultCacheDir(env)
  const present = (await lookOnPath(env, options, failures)) ?? (await lookInCache(cacheDir, options, failures))
  if (present) return present

  const onProgress = options.onProgress ?? (() => undefined)
  const lock = { timeoutMs: LOCK_TIMEOUT_MS, onWait: () => onProgress("waiting for another process that fetches nats-server") }
  const fetched = await withLock(join(cacheDir, ".lock"), lock, async () => {
    // Whoever held the lock before may have fetched it.
    return (await lookInCache(cacheDir, options, [])) ?? (await fetchServer(cacheDir, { ...options, env, onProgress }, failures))
  })
  if (fetched) return fetched
  throw FnError.of("NATS_SERVER_MISSING", `there is no nats-server here, and none could be fetched:\n  ${failures.join("\n  ")}`, {
    details: { failures },
  })
}

async function lookOnPath(
  env: Readonly<Record<string, string | undefined>>,
  options: FindServerOptions,
  failures: string[],
): Promise<FoundServer | undefined> {
  const folders = [env.PATH ?? "", ...(options.systemFolders ?? ["/usr/sbin", "/usr/local/sbin"])]
  const path = findOnPath("nats-server", folders.join(delimiter))
  if (path === undefined) {
    failures.push("path: there is no nats-server on PATH")
    return undefined
  }
  return attempt("path", failures, async () => ({ path, version: await requireVersion(path, minOf(options)), source: "path" }))
}

async function lookInCache(cacheDir: string, options: FindServerOptions, failures: string[]): Promise<FoundServer | undefined> {
  for (const version of cachedVersions(cacheDir)) {
    if (!isAtLeast(version, minOf(options))) break
    const path = cachedServer(cacheDir, version)
    const found = await attempt("cache", failures, async () => ({
      path,
      version: await requireVersion(path, version),
      source: "cache" as const,
    }))
    if (found) return found
  }
  failures.push(`cache: ${cacheDir} has none`)
  return undefined
}

async function fetchServer(
  cacheDir: string,
  options: FindServerOptions & { env: Readonly<Record<string, string | undefined>>; onProgress: (line: string) => void },
  failures: string[],
): Promise<FoundServer | undefined> {
  for (const source of options.fetch ?? FETCHES) {
    const found = await attempt(source, failures, async () => {
      const { path } = await addToCache(cacheDir, (workDir) => FETCHERS[source](workDir, options))
      return { path, version: await requireVersion(path, minOf(options)), source }
    })
    if (found) return found
  }
  return undefined
}

type Fetcher = (
  workDir: string,
  options: FindServerOptions & { env: Readonly<Record<string, string | undefined>>; onProgress: (line: string) => void },
) => Promise<{ program: string; version: string }>

const FETCHERS: Readonly<Record<ServerFetch, Fetcher>> = {
  release: (workDir, options) => downloadRelease(workDir, { ...options.release, onProgress: options.onProgress }),
  go: goInstall,
  debian: unpackDebianPackage,
}

async function attempt(step: string, failures: string[], look: () => Promise<FoundServer>): Promise<FoundServer | undefined> {
  try {
    return await look()
  } catch (thrown) {
    failures.push(`${step}: ${messageOf(thrown)}`)
    return undefined
  }
}

async function requireVersion(path: string, minVersion: string): Promise<string> {
  const version = await readServerVersion(path)
  if (!isAtLeast(version, minVersion))
    throw FnError.of("NATS_SERVER_MISSING", `${path} is nats-server ${version}, but ${minVersion} or newer is needed`)
  return version
}

function minOf(options: FindServerOptions): string {
  return options.minVersion ?? MIN_SERVER_VERSION
}
