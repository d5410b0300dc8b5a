import { createHash, type Hash } from "node:crypto"
import { createReadStream } from "node:fs"
import { readFile } from "node:fs/promises"
import { pipeline } from "node:stream/promises"

/** `sha256:<hex>` of some bytes or text. */
export function digestOf(content: string | Uint8Array): string {
  return sealed(createHash("sha256").update(content))
}

/** `sha256:<hex>` of a file, read in pieces. */
export async function digestOfFile(path: string): Promise<string> {
  const hash = createHash("sha256")
  await pipeline(createReadStream(path), hash)
  return sealed(hash)
}

/** A digest over files and settings. Order does not matter; names and contents do. */
export class SourceDigest {
  readonly #entries: string[] = []

  /** A setting that changes the build. */
  add(name: string, value: string): void {
    this.#entries.push(`${name}\0${digestOf(value)}`)
  }

  /** A file, under a name that does not depend on where it lies. */
  async addFile(name: string, path: string): Promise<void> {
    this.#entries.push(`${name}\0${digestOf(await readFile(path))}`)
  }

  /** `sha256:<hex>`. */
  get value(): string {
    return digestOf(this.#entries.sort().join("\n"))
  }
}

function sealed(hash: Hash): string {
  return `sha256:${hash.digest("hex")}`
}
