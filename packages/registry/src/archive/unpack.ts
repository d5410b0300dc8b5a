import { type FileHandle, mkdir, open, rm } from "node:fs/promises"
import { dirname, join } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { ArchiveCensus, type ArchiveEntry, BLOCK_BYTES, decodeHeader, invalid } from "./entry.js"

const CHUNK_BYTES = 256 * 1024

/**
 * Unpacks the archive at `path` into `folder`, which must not be there yet.
 * @throws {FnError} invalid_argument INVALID_ARTIFACT for anything but plain files and folders below it; nothing is left on disk then
 */
export async function unpackArchive(path: string, folder: string): Promise<void> {
  const archive = await open(path, "r")
  try {
    await mkdir(folder)
    await new Unpacking(archive, folder).run()
  } catch (thrown) {
    await rm(folder, { recursive: true, force: true })
    throw FnError.is(thrown) ? thrown : invalid(messageOf(thrown), thrown)
  } finally {
    await archive.close()
  }
}

class Unpacking {
  readonly #archive: FileHandle
  readonly #folder: string
  readonly #census = new ArchiveCensus()
  #at = 0

  constructor(archive: FileHandle, folder: string) {
    this.#archive = archive
    this.#folder = folder
  }

  async run(): Promise<void> {
    for (let entry = await this.#next(); entry; entry = await this.#next()) {
      if (entry.name === ".") continue
      this.#census.add(entry)
      const target = join(this.#folder, entry.name)
      if (entry.kind === "folder") await mkdir(target, { recursive: true })
      else await this.#unpackFile(entry, target)
    }
    await this.#refuseRest()
  }

  async #next(): Promise<ArchiveEntry | undefined> {
    return decodeHeader(await this.#read(BLOCK_BYTES))
  }

  async #unpackFile(entry: ArchiveEntry, target: string): Promise<void> {
    await mkdir(dirname(target), { recursive: true })
    // `wx`: never through something that is there already.
    const file = await open(target, "wx", entry.executable ? 0o755 : 0o644)
    try {
      for (let leftBytes = entry.sizeBytes; leftBytes > 0; ) {
        const chunk = await this.#read(Math.min(leftBytes, CHUNK_BYTES))
        await file.writeFile(chunk)
        leftBytes -= chunk.length
      }
    } finally {
      await file.close()
    }
    await this.#read((BLOCK_BYTES - (entry.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES)
  }

  /** After its end an archive has nothing but zeros: something else could be read by another program as a second archive. */
  async #refuseRest(): Promise<void> {
    const buffer = Buffer.alloc(CHUNK_BYTES)
    for (;;) {
      const { bytesRead } = await this.#archive.read(buffer, 0, buffer.length, this.#at)
      if (bytesRead === 0) return
      this.#at += bytesRead
      if (!buffer.subarray(0, bytesRead).every((byte) => byte === 0)) throw invalid("something follows its end")
    }
  }

  async #read(sizeBytes: number): Promise<Buffer> {
    const buffer = Buffer.alloc(sizeBytes)
    for (let done = 0; done < sizeBytes; ) {
      const { bytesRead } = await this.#archive.read(buffer, done, sizeBytes - done, this.#at)
      if (bytesRead === 0) throw invalid("it is cut short")
      done += bytesRead
      this.#at += bytesRead
    }
    return buffer
  }
}
