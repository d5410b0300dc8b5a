import { link, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { FnError } from "@fn/core"
import { removeAfterDeath } from "@fn/process"

const LOCK_FILE = "dev.lock"

/** A data folder that is ours until it is released, or until this process ends, however it ends. */
export interface DataDirLock {
  release(): Promise<void>
}

/** Who holds a lock. A process id alone would not do: the system gives it out again. */
interface Holder {
  readonly pid: number
  readonly startedAt: string
}

/**
 * Takes `dataDir` for one `fn dev`; the folder is made if need be. What a killed one left is taken over.
 * @throws {FnError} unavailable DATA_DIR_IN_USE
 */
export async function lockDataDir(dataDir: string): Promise<DataDirLock> {
  await mkdir(dataDir, { recursive: true })
  const path = join(dataDir, LOCK_FILE)
  const own: Holder = { pid: process.pid, startedAt: (await startOf(process.pid)) ?? "" }
  for (;;) {
    // A killed fn dev leaves no lock either; only its own, should another have taken the folder over meanwhile.
    if (await take(path, own)) return removeAfterDeath([{ path, holding: JSON.stringify(own) }])
    const holder = await readHolder(path)
    if (holder && (await isRunning(holder))) {
      throw FnError.of("DATA_DIR_IN_USE", `another fn dev (process ${holder.pid}) uses ${dataDir}`, { details: { pid: holder.pid } })
    }
    await discard(path)
  }
}

/** The file appears with its content, by link of a finished one: a reader never sees half of it. */
async function take(path: string, own: Holder): Promise<boolean> {
  const draft = `${path}.${process.pid}.draft`
  await writeFile(draft, JSON.stringify(own))
  try {
    await link(draft, path)
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false
    throw thrown
  } finally {
    await rm(draft, { force: true })
  }
}

async function readHolder(path: string): Promise<Holder | undefined> {
  try {
    return JSON.parse(await readFile(path, "utf8")) as Holder
  } catch {
    return undefined // gone meanwhile, or not of our making
  }
}

async function isRunning({ pid, startedAt }: Holder): Promise<boolean> {
  const start = await startOf(pid)
  if (start !== undefined) return start === startedAt
  if (process.platform === "linux") return false
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM"
  }
}

/** When the process began, in the kernel's ticks; undefined where it does not run or the system has no /proc. */
async function startOf(pid: number): Promise<string | undefined> {
  try {
    const stat = await readFile(`/proc/${pid}/stat`, "utf8")
    const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
    return fields[0] === "Z" ? undefined : fields[19]
  } catch {
    return undefined
  }
}

/** By rename, which only one of several processes can win. */
async function discard(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
    await rm(aside, { force: true })
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown
  }
}
