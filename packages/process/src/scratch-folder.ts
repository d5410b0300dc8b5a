import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { removeAfterDeath } from "./keeper.js"

/** A folder for sockets and the like that is gone when its process is, however that ends. */
export interface ScratchFolder extends AsyncDisposable {
  readonly path: string
  /** Removes the folder. May be called twice. */
  remove(): Promise<void>
}

/** Makes an empty folder in the system's temporary folder, its name beginning with `prefix`. */
export async function createScratchFolder(prefix: string): Promise<ScratchFolder> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  const keeper = removeAfterDeath([{ path }])
  const remove = async (): Promise<void> => {
    await keeper.release()
    await rm(path, { recursive: true, force: true }) // where no shell kept it
  }
  return { path, remove, [Symbol.asyncDispose]: remove }
}
