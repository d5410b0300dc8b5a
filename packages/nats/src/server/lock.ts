import { mkdir, open, readFile, rename, rm, stat } from "node:fs/promises"
import { hostname } from "node:os"
import { dirname } from "node:path"
import { setTimeout as delay } from "node:timers/promises"
import { FnError } from "@fn/core"

const LOOK_EVERY_MS = 100
/** A holder on another machine (a shared home folder) cannot be asked; after this long it counts as gone. */
const FOREIGN_STALE_MS = 15 * 60_000

/** Settings of {@link withLock}. */
export interface LockOptions {
  /** How long to wait for another holder. */
  readonly timeoutMs: number
  /** Called once when there is another holder. */
  readonly onWait?: () => void
}

/**
 * Runs `work` while no other process holds the lock file `path`. A lock whose holder died is taken over.
 *
 * It keeps work from being done twice; it does not protect data: two processes that find the same dead holder in the same
 * instant may both go on.
 * @throws {FnError} unavailable when the holder has not let go after `timeoutMs`
 */
export async function withLock<T>(path: string, options: LockOptions, work: () => Promise<T>): Promise<T> {
  await mkdir(dirname(path), { recursive: true })
  const end = performance.now() + options.timeoutMs
  let waited = false
  while (!(await take(path))) {
    if (await isAbandoned(path)) {
      await discard(path)
      continue
    }
    if (!waited) options.onWait?.()
    waited = true
    if (performance.now() > end) throw new FnError("unavailable", `another process has held ${path} for ${options.timeoutMs} ms`)
    await delay(LOOK_EVERY_MS)
  }
  try {
    return await work()
  } finally {
    await rm(path, { force: true })
  }
}

async function take(path: string): Promise<boolean> {
  try {
    const file = await open(path, "wx")
    await file.writeFile(`${process.pid} ${hostname()}\n`)
    await file.close()
    return true
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code === "EEXIST") return false
    throw thrown
  }
}

async function isAbandoned(path: string): Promise<boolean> {
  try {
    const [pid, host] = (await readFile(path, "utf8")).trim().split(" ")
    const ageMs = Date.now() - (await stat(path)).mtimeMs
    // Empty: its holder is just writing it, or died doing so.
    if (!pid) return ageMs > 10_000
    return host === hostname() ? !isAlive(Number(pid)) : ageMs > FOREIGN_STALE_MS
  } catch {
    return false // gone meanwhile: the next try takes it
  }
}

/** By rename, which only one of several processes can win. */
async function discard(path: string): Promise<void> {
  const aside = `${path}.${process.pid}`
  try {
    await rename(path, aside)
    await rm(aside, { force: true })
  } catch {
    // another process was faster
  }
}

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch (thrown) {
    return (thrown as NodeJS.ErrnoException).code === "EPERM"
  }
}
