import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { chmod, mkdir, rename, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { pipeline } from "node:stream/promises"
import { newId } from "@fn/core"
import { type ArtifactStore, type FunctionDefinition, unpackArchive } from "@fn/registry"
import { statOf, VerifiedFiles } from "./verified-files.js"

/**
 * Artifacts on this host's disk, by digest: fetched once, verified when they are fetched and again when a later process finds them. Archives are
 * unpacked beside their file, anew in each process: what lies there may have been changed since.
 */
export class ArtifactCache {
  readonly #folder: string
  readonly #store: ArtifactStore
  readonly #verified: VerifiedFiles
  readonly #files = new Map<string, Promise<string>>()

  /** `verified` is told of every file. */
  constructor(folder: string, store: ArtifactStore, verified: VerifiedFiles = new VerifiedFiles()) {
    this.#folder = folder
    this.#store = store
    this.#verified = verified
  }

  /** Path of the artifact's verified file, or of the folder it was unpacked into. @throws {FnError} ARTIFACT_NOT_FOUND, DIGEST_MISMATCH, REGISTRY_TIMEOUT, INVALID_ARTIFACT */
  file(definition: FunctionDefinition): Promise<string | undefined> {
    const { artifact, namespace } = definition
    if (!artifact) return Promise.resolve(undefined)
    const path = join(this.#folder, artifact.digest.replace(":", "-"), artifact.fileName)
    const key = artifact.archive ? `${path}/` : path
    const known = this.#files.get(key)
    if (known) return known
    const file = this.#fetch(namespace, artifact.digest, path, artifact.executable)
    const fetched = artifact.archive ? file.then(unpackBeside) : file
    this.#files.set(key, fetched)
    // A failure is not kept: the store may have been away.
    fetched.catch(() => this.#files.delete(key))
    return fetched
  }

  async #fetch(namespace: string, digest: string, path: string, executable: boolean): Promise<string> {
    const before = await statOf(path)
    if (before !== "" && (await sha256(path)) === digest) {
      await this.#verified.remember(path, digest, before)
      return path
    }
    await mkdir(dirname(path), { recursive: true })
    await rm(path, { force: true })
    await this.#store.getToFile(namespace, digest, path)
    if (executable) await chmod(path, 0o755)
    await this.#verified.remember(path, digest)
    return path
  }
}

/** The folder appears by a rename, whole. One that is there is moved away: programs that run from it keep the files they have open. */
async function unpackBeside(archive: string): Promise<string> {
  const folder = `${archive}.unpacked`
  const draft = `${folder}-${newId()}`
  const old = `${folder}-${newId()}`
  await unpackArchive(archive, draft)
  await rename(folder, old).catch((thrown: NodeJS.ErrnoException) => {
    if (thrown.code !== "ENOENT") throw thrown
  })
  await rename(draft, folder)
  await rm(old, { recursive: true, force: true })
  return folder
}

async function sha256(path: string): Promise<string> {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path), hash)
  return `sha256:${hash.digest("hex")}`
}
