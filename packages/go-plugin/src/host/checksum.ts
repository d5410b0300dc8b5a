import { createHash, timingSafeEqual } from "node:crypto"
import { createReadStream } from "node:fs"
import { pipeline } from "node:stream/promises"
import { FnError, messageOf } from "@fn/core"

/** A file that must have these bytes before anything is launched. */
export interface PinnedFile {
  readonly path: string
  /** SHA-256 in hex, with or without `sha256:` in front. */
  readonly sha256: string
}

/**
 * Checks every file. Pin the program *and* what it loads: of `node plugin.mjs` the interpreter alone says nothing.
 * Between this check and the launch the file could be exchanged; launch from a folder that only you can write.
 * @throws {FnError} CHECKSUM_MISMATCH also for a file that cannot be read
 */
export async function verifyChecksums(files: readonly PinnedFile[]): Promise<void> {
  await Promise.all(files.map(verify))
}

async function verify({ path, sha256 }: PinnedFile): Promise<void> {
  const expected = Buffer.from(sha256.replace(/^sha256:/, ""), "hex")
  if (expected.length !== 32) throw FnError.of("INVALID_REQUEST", `the checksum of ${path} is no SHA-256 in hex`)
  const hash = createHash("sha256")
  try {
    await pipeline(createReadStream(path), hash)
  } catch (cause) {
    throw FnError.of("CHECKSUM_MISMATCH", `${path} cannot be checked: ${messageOf(cause)}`, { cause })
  }
  const actual = hash.digest()
  if (timingSafeEqual(actual, expected)) return
  throw FnError.of("CHECKSUM_MISMATCH", `${path} has SHA-256 ${actual.toString("hex")}, expected ${expected.toString("hex")}`)
}
