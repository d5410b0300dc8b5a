/**
 * One folder under `fn dev`: built and deployed at the start and after every change.
 *
 * One build at a time. Changes during a build lead to one more build after it, however many they were. What is live stays live until
 * something better builds.
 */
import { FnError, type FunctionRef, formatRef } from "@fn/core"
import type { DeployResult, FunctionManifest, Registry } from "@fn/registry"
import type { BuiltFunction } from "../builder/build-function.js"
import { digestOfFile } from "../builder/digest.js"
import { buildFolder, deployBuilt } from "../deploy-folder.js"
import type { Io } from "../io.js"
import type { Progress } from "../progress.js"
import type { DevConsole } from "./console.js"
import type { DevIsolation } from "./dev-isolation.js"
import { baseVersion, contentDigest, devVersion } from "./dev-version.js"
import { FolderWatch } from "./folder-watch.js"

/** What a folder under `fn dev` needs. */
export interface DevFunctionOptions {
  /** Absolute path. */
  readonly dir: string
  /** The path as the person wrote it. */
  readonly shown: string
  readonly namespace: string
  readonly registry: Registry
  readonly console: DevConsole
  readonly isolation: DevIsolation
  readonly io: Io
}

const SILENT: Progress = { step: () => undefined, fraction: () => undefined, done: () => undefined }
const FIRST_VERSION = "0.0.1"

export class DevFunction {
  readonly #options: DevFunctionOptions
  readonly #watch: FolderWatch
  #liveDigest: string | undefined
  #running: Promise<void> | undefined
  #again = false
  #closed = false

  constructor(options: DevFunctionOptions) {
    this.#options = options
    this.#watch = new FolderWatch(options.dir, {
      onChange: () => void this.update(),
      onProblem: (message) => options.console.warn(message),
    })
  }

  /** Builds and deploys what the folder has now, and watches it from then on. Says what became of it; never rejects. */
  async start(): Promise<void> {
    await this.#watch.refresh()
    await this.update()
  }

  /** Something may have changed. Resolves when it is live, refused, or found to be the same; never rejects. */
  update(): Promise<void> {
    this.#again = true
    this.#running ??= this.#updateAll().finally(() => {
      this.#running = undefined
    })
    return this.#running
  }

  /** Ends the watch; a build under way finishes first, or stops at `io.signal`. */
  async close(): Promise<void> {
    this.#closed = true
    this.#watch.close()
    await this.#running
  }

  async #updateAll(): Promise<void> {
    while (this.#again && !this.#closed) {
      this.#again = false
      await this.#updateOnce()
    }
  }

  async #updateOnce(): Promise<void> {
    const { console, shown, io, dir } = this.#options
    try {
      const built = await buildFolder(dir, io, SILENT)
      await this.#watch.refresh(built)
      await this.#deployIfChanged(built)
    } catch (thrown) {
      if (!io.signal.aborted) console.rejected(shown, FnError.from(thrown))
      await this.#watch.refresh()
    }
  }

  async #deployIfChanged(built: BuiltFunction): Promise<void> {
    const { console, shown, namespace, registry, isolation } = this.#options
    const manifest = { ...built.manifest, namespace: built.manifest.namespace ?? namespace }
    const digest = contentDigest(built.artifact && (await digestOfFile(built.artifact.path)), manifest)
    const identity = `${digest} ${manifest.version ?? ""}`
    if (identity === this.#liveDigest) return console.unchanged(shown)
    for (const warning of built.warnings) console.warn(warning)
    const result = await this.#deploy(built, manifest, digest)
    this.#liveDigest = identity
    for (const warning of result.warnings) console.warn(warning)
    console.deployed(shown, formatRef(result.ref), result.unchanged ? "as before" : "")
    const problem = await isolation.problem(await registry.getDefinition(result.ref))
    if (problem) console.refused(formatRef(result.ref), problem)
  }

  async #deploy(built: BuiltFunction, manifest: FunctionManifest & { namespace: string }, digest: string): Promise<DeployResult> {
    const { registry, io } = this.#options
    const version = manifest.version ?? (await this.#liveBase({ namespace: manifest.namespace, name: manifest.name }))
    try {
      return await deployBuilt(registry, built, { manifest: { ...manifest, version }, io, progress: SILENT })
    } catch (thrown) {
      if (!FnError.is(thrown) || thrown.reason !== "VERSION_EXISTS") throw thrown
      return deployBuilt(registry, built, { manifest: { ...manifest, version: devVersion(version, digest) }, io, progress: SILENT })
    }
  }

  /** fn.yaml names no version: that of the live one, so that saves do not count it up. */
  async #liveBase(ref: FunctionRef): Promise<string> {
    const live = await this.#options.registry.findFunction(ref)
    return live === undefined ? FIRST_VERSION : baseVersion(live.record.activeVersion)
  }
}
