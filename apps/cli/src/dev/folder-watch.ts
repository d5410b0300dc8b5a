/**
 * Tells when something below a function's folder changed, or beside a source file elsewhere that went into it.
 *
 * One watch per folder rather than one per file: editors save by renaming a new file over the old one. Folders that appear are watched from
 * the next change on, which their appearing is. Nothing is polled: an idle `fn dev` costs nothing.
 */
import { type FSWatcher, watch } from "node:fs"
import { readdir } from "node:fs/promises"
import { dirname, join, relative, sep } from "node:path"

/** Options of {@link FolderWatch}. */
export interface FolderWatchOptions {
  /** Called once per burst of changes. Must not throw. */
  readonly onChange: () => void
  /** Told when a folder cannot be watched (out of inotify watches). Must not throw. */
  readonly onProblem: (message: string) => void
  /** How long nothing must change before it counts, so that a storm of saves is one change. Default 150 ms. */
  readonly quietMs?: number
}

const QUIET_MS = 150

export class FolderWatch {
  readonly #root: string
  readonly #options: FolderWatchOptions
  readonly #watchers = new Map<string, FSWatcher>()
  #outside: readonly string[] = []
  /** Top-level names below the root that the function's own build command writes: to heed them would build for ever. */
  #outputs: ReadonlySet<string> = new Set()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(root: string, options: FolderWatchOptions) {
    this.#root = root
    this.#options = options
  }

  /** Starts; later takes in folders that are new, lets go of those that are gone, and learns from a build what it read and wrote. */
  async refresh(built?: { readonly inputs: readonly string[]; readonly outputs: readonly string[] }): Promise<void> {
    if (built) {
      this.#outside = [...new Set(built.inputs.filter((file) => isOutside(file, this.#root)).map(dirname))]
      this.#outputs = new Set(built.outputs.map((file) => relative(this.#root, file).split(sep)[0] as string))
    }
    const wanted = new Set([...(await foldersBelow(this.#root)), ...this.#outside])
    if (this.#closed) return
    for (const [folder, watcher] of this.#watchers) if (!wanted.has(folder)) this.#drop(folder, watcher)
    for (const folder of wanted) if (!this.#watchers.has(folder)) this.#add(folder)
  }

  close(): void {
    this.#closed = true
    clearTimeout(this.#timer)
    for (const [folder, watcher] of this.#watchers) this.#drop(folder, watcher)
  }

  #add(folder: string): void {
    try {
      const watcher = watch(folder, { persistent: false }, (_event, file) => {
        if (file === null || !this.#ignores(folder, file)) this.#changed()
      })
      watcher.on("error", () => this.#drop(folder, watcher)) // the folder went away
      this.#watchers.set(folder, watcher)
    } catch (thrown) {
      const { code, message } = thrown as NodeJS.ErrnoException
      if (code !== "ENOENT") this.#options.onProblem(`cannot watch ${folder}: ${message}`)
    }
  }

  #ignores(folder: string, file: string): boolean {
    return isNoise(file) || this.#outputs.has(relative(this.#root, join(folder, file)).split(sep)[0] as string)
  }

  #drop(folder: string, watcher: FSWatcher): void {
    watcher.close()
    this.#watchers.delete(folder)
  }

  #changed(): void {
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => this.#options.onChange(), this.#options.quietMs ?? QUIET_MS)
  }
}

async function foldersBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []) // gone between two looks
  const below = entries.filter((entry) => entry.isDirectory() && !isNoise(entry.name) && entry.name !== "node_modules")
  return [folder, ...(await Promise.all(below.map((entry) => foldersBelow(join(folder, entry.name))))).flat()]
}

/** Hidden files and folders (.git, .fn, swap files) and editors' backups. */
function isNoise(name: string): boolean {
  return name.startsWith(".") || name.endsWith("~")
}

/** Packages do not change under us; a neighbour's source in the same repository may. */
function isOutside(file: string, root: string): boolean {
  return !file.startsWith(`${root}/`) && !file.includes("/node_modules/")
}
