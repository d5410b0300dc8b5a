import { createReadStream, createWriteStream } from "node:fs"
import { lstat, readdir, realpath, stat } from "node:fs/promises"
import { join, relative, sep } from "node:path"
import { Readable } from "node:stream"
import { pipeline } from "node:stream/promises"
import { ArchiveCensus, type ArchiveEntry, BLOCK_BYTES, encodeHeader, invalid } from "./entry.js"

/** A file on its way into an archive. */
export interface FileToPack extends ArchiveEntry {
  readonly kind: "file"
  /** Where it lies now. */
  readonly path: string
}

/** What no function needs on a host. */
const LEFT_OUT: ReadonlySet<string> = new Set([".git", ".hg", ".svn", ".fn", ".DS_Store"])

/**
 * The files below `folder`, in the order they are packed: that of their names' bytes. A link to a file inside is packed as that file.
 * @throws {FnError} INVALID_ARTIFACT for a link that leads out or to a folder, for a device, and beyond ARCHIVE_LIMITS
 */
export async function filesToPack(folder: string): Promise<FileToPack[]> {
  const root = await realpath(folder)
  const files: FileToPack[] = []
  const census = new ArchiveCensus()
  for (const path of await pathsBelow(root)) {
    const name = relative(root, path).split(sep).join("/")
    const file = await describe(root, path, name)
    census.add(file)
    files.push(file)
  }
  if (files.length === 0) throw invalid(`there is no file in ${folder}`)
  return files.sort((a, b) => Buffer.compare(Buffer.from(a.name), Buffer.from(b.name)))
}

/** Writes `files` as an archive to `path`. The same files give the same bytes. @throws {FnError} INVALID_ARTIFACT for one that changed meanwhile */
export async function packArchive(files: readonly FileToPack[], path: string): Promise<void> {
  await pipeline(Readable.from(blocksOf(files)), createWriteStream(path))
}

async function* blocksOf(files: readonly FileToPack[]): AsyncGenerator<Buffer> {
  for (const file of files) {
    yield encodeHeader(file)
    let sentBytes = 0
    for await (const chunk of createReadStream(file.path) as AsyncIterable<Buffer>) {
      sentBytes += chunk.length
      if (sentBytes > file.sizeBytes) break
      yield chunk
    }
    if (sentBytes !== file.sizeBytes) throw invalid(`${file.name} changed while it was packed`)
    yield Buffer.alloc((BLOCK_BYTES - (file.sizeBytes % BLOCK_BYTES)) % BLOCK_BYTES)
  }
  yield Buffer.alloc(2 * BLOCK_BYTES)
}

async function pathsBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true })
  const below = entries
    .filter(({ name }) => !LEFT_OUT.has(name))
    .map(async (entry) => (entry.isDirectory() ? await pathsBelow(join(folder, entry.name)) : [join(folder, entry.name)]))
  return (await Promise.all(below)).flat()
}

async function describe(root: string, path: string, name: string): Promise<FileToPack> {
  const isLink = (await lstat(path)).isSymbolicLink()
  const target = isLink
    ? await realpath(path).catch((cause: unknown) => Promise.reject(invalid(`${name} is a link to nothing`, cause)))
    : path
  if (isLink && !target.startsWith(root + sep)) throw invalid(`${name} is a link that leads out of the folder, to ${target}`)
  const stats = await stat(target)
  if (!stats.isFile()) throw invalid(`${name} is ${isLink ? "a link to something that is no file" : "neither file nor folder"}`)
  return { name, kind: "file", path: target, sizeBytes: stats.size, executable: (stats.mode & 0o100) !== 0 }
}
