import { type BigIntStats, promises } from "node:fs"

/**
 * Files whose digest was verified, and that nobody has touched since: to hash a program of 15 MB at each of its starts takes as long as the start.
 *
 * Every write to a file, and every change of its mode, owner or name, sets the time of its last change, which cannot be set to anything else. Who could
 * deceive this may write to this process's files anyway.
 */
export class VerifiedFiles {
  readonly #verified = new Map<string, string>()

  /** The file's bytes have just been found to be those of `digest`; `before` is {@link statOf} it before they were read. */
  async remember(path: string, digest: string, before?: string): Promise<void> {
    const stat = await statOf(path)
    if (before === undefined || before === stat) this.#verified.set(path, `${digest} ${stat}`)
  }

  /** Whether the file is the one whose digest was verified. False for one that is not there. */
  async holds(path: string, digest: string): Promise<boolean> {
    const known = this.#verified.get(path)
    return known !== undefined && known === `${digest} ${await statOf(path)}`
  }
}

/** What changes when a file does; empty for one that is not there. */
export async function statOf(path: string): Promise<string> {
  try {
    const { dev, ino, size, mode, uid, mtimeNs, ctimeNs }: BigIntStats = await promises.stat(path, { bigint: true })
    return [dev, ino, size, mode, uid, mtimeNs, ctimeNs].join(" ")
  } catch {
    return "" // whoever opens it hears why
  }
}
