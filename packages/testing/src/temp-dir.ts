import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** A folder that is gone when its scope ends. */
export interface TempDir extends AsyncDisposable {
  readonly path: string
  /** Path of something in it. */
  file(...names: string[]): string
}

/** Makes an empty folder; use it as `await using dir = await tempDir()`. */
export async function tempDir(prefix: string = "fn-test-"): Promise<TempDir> {
  const path = await mkdtemp(join(tmpdir(), prefix))
  return {
    path,
    file: (...names) => join(path, ...names),
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true, maxRetries: 3 }),
  }
}
