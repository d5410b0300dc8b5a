import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { access, chmod, mkdir, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { pipeline } from "node:stream/promises"
import type { ArtifactStore, FunctionDefinition } from "@fn/registry"

/**
 * Artifacts on this host's disk, by digest: fetched once, verified when they are fetched and again when a later process finds them.
 */
export class ArtifactCache {
  readonly #folder: string
  readonly #store: ArtifactStore
  readonly #files = new Map<string, Promise<string>>()

  constructor(folder: string, store: ArtifactStore) {
    this.#folder = folder
    this.#store = store
  }

  /** Path of the artifact's verified file. @throws {FnError} ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, REGISTRY_TIMEOUT */
  file(definition: FunctionDefinition): Promise<string | undefined> {
    const { artifact, namespace } = definition
    if (!artifact) return Promise.resolve(undefined)
    const path = join(this.#folder, artifact.digest.replace(":", "-"), artifact.fileName)
    const known = this.#files.get(path)
    if (known) return known
    const fetched = this.#fetch(namespace, artifact.digest, path, artifact.executable)
    this.#files.set(path, fetched)
    // A failure is not kept: the store may have been away.
    fetched.catch(() => this.#files.delete(path))
    return fetched
  }

  async #fetch(namespace: string, digest: string, path: string, executable: boolean): Promise<string> {
    if ((await exists(path)) && (await sha256(path)) === digest) return path
    await mkdir(dirname(path), { recursive: true })
    await rm(path, { force: true })
    await this.#store.getToFile(namespace, digest, path)
    if (executable) await chmod(path, 0o755)
    return path
  }
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path)
    return true
  } catch {
    return false // said by the return value
  }
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path), hash)
  return `sha256:${hash.digest("hex")}`
}
