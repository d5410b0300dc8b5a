import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"

/** A folder that is gone when the scope ends. */
export interface TemporaryFolder extends AsyncDisposable {
  readonly path: string
  /** Absolute path of something in it. */
  join(...parts: string[]): string
  /** Writes files by their relative names. */
  write(files: Readonly<Record<string, string>>): Promise<void>
}

/** A new folder with `files` in it. */
export async function temporaryFolder(files: Readonly<Record<string, string>> = {}): Promise<TemporaryFolder> {
  const path = await mkdtemp(join(tmpdir(), "fn-cli-"))
  const folder: TemporaryFolder = {
    path,
    join: (...parts) => join(path, ...parts),
    write: async (added) => {
      for (const [name, text] of Object.entries(added)) {
        await mkdir(dirname(join(path, name)), { recursive: true })
        await writeFile(join(path, name), text)
      }
    },
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
  await folder.write(files)
  return folder
}
