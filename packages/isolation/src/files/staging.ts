/**
 * Copies of files in a place that children can reach.
 *
 * Children of a host that is root run as users of their own, and what the host keeps is often below folders that only root may enter. What they
 * cannot reach is linked (or, across file systems, copied) once into a folder they can pass through.
 */
import { constants, type Stats } from "node:fs"
import { chmod, copyFile, link, lstat, mkdir, readdir, readlink, realpath, stat, symlink } from "node:fs/promises"
import { basename, dirname, join } from "node:path"

const { S_IROTH, S_IXOTH } = constants

export class Staging {
  readonly #folder: string
  readonly #staged = new Map<string, Promise<string>>()
  #count = 0

  constructor(folder: string) {
    this.#folder = folder
  }

  /** `path` itself if every user may read it, else its copy, which is made once and does not follow later changes. */
  reach(path: string): Promise<string> {
    let staged = this.#staged.get(path)
    if (!staged) {
      staged = this.#stage(path)
      this.#staged.set(path, staged)
      staged.catch(() => this.#staged.delete(path))
    }
    return staged
  }

  async #stage(path: string): Promise<string> {
    const real = await realpath(path)
    if (await isReachable(real)) return path
    const folder = join(this.#folder, `${++this.#count}`)
    await mkdir(folder, { recursive: true })
    const copy = join(folder, basename(path))
    await copyTree(real, copy)
    return copy
  }
}

/** Whether every user may read it, and all that is in it. */
async function isReachable(path: string): Promise<boolean> {
  for (let folder = dirname(path); ; folder = dirname(folder)) {
    if (((await stat(folder)).mode & S_IXOTH) === 0) return false
    if (folder === "/") return await isReadable(path)
  }
}

async function isReadable(path: string): Promise<boolean> {
  const stats = await lstat(path)
  if (stats.isSymbolicLink()) return true // a link has no rights of its own
  if (!stats.isDirectory()) return (stats.mode & S_IROTH) !== 0
  if ((stats.mode & (S_IROTH | S_IXOTH)) !== (S_IROTH | S_IXOTH)) return false
  for (const name of await readdir(path)) if (!(await isReadable(join(path, name)))) return false
  return true
}

async function copyTree(from: string, to: string): Promise<void> {
  const stats = await lstat(from)
  if (stats.isSymbolicLink()) return await symlink(await readlink(from), to)
  if (!stats.isDirectory()) return await copyOne(from, to, stats)
  await mkdir(to, { mode: 0o755 })
  for (const name of await readdir(from)) await copyTree(join(from, name), join(to, name))
}

/** A link shares its rights with the file, so one that not everybody may read has to be a copy. */
async function copyOne(from: string, to: string, { mode }: Stats): Promise<void> {
  if ((mode & S_IROTH) !== 0) {
    try {
      return await link(from, to)
    } catch {
      // Another file system, or one without links.
    }
  }
  await copyFile(from, to)
  await chmod(to, mode & 0o100 ? 0o755 : 0o644)
}
