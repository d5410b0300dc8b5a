import { createHash } from "node:crypto"
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { FnError, messageOf } from "@fn/core"
import type { ArtifactSource } from "./registry.js"

const DIGEST = /^sha256:([0-9a-f]{64})$/

/** Digest and size of an artifact. @throws {FnError} INVALID_ARTIFACT when it is empty or the file cannot be read */
export async function describeArtifact(source: ArtifactSource): Promise<{ digest: string; sizeBytes: number }> {
  const described = source instanceof Uint8Array ? describeBytes(source) : await describeFile(source.path)
  if (described.sizeBytes === 0) throw FnError.of("INVALID_ARTIFACT", "the artifact is empty")
  return described
}

/** Digest of `bytes`. */
export function digestOf(bytes: Uint8Array): string {
  return `sha256:${createHash("sha256").update(bytes).digest("hex")}`
}

/** The 64 hex digits of a digest. @throws {FnError} INVALID_REQUEST */
export function digestHex(digest: string): string {
  const hex = DIGEST.exec(digest)?.[1]
  if (!hex) throw FnError.of("INVALID_REQUEST", `${JSON.stringify(digest)} is no digest: it must be sha256: and 64 hex digits`)
  return hex
}

/** An error for bytes that are not the ones `digest` names. */
export function digestMismatch(namespace: string, digest: string, cause?: unknown): FnError {
  return FnError.of(
    "DIGEST_MISMATCH",
    `the stored artifact ${digest} of namespace ${namespace} is damaged: its bytes have another digest`,
    {
      details: { namespace, digest },
      ...(cause === undefined ? {} : { cause }),
    },
  )
}

/** An error for an artifact that is not stored. */
export function artifactNotFound(namespace: string, digest: string): FnError {
  return FnError.of("ARTIFACT_NOT_FOUND", `namespace ${namespace} has no artifact ${digest}`, { details: { namespace, digest } })
}

function describeBytes(bytes: Uint8Array): { digest: string; sizeBytes: number } {
  return { digest: digestOf(bytes), sizeBytes: bytes.byteLength }
}

async function describeFile(path: string): Promise<{ digest: string; sizeBytes: number }> {
  try {
    if (!(await stat(path)).isFile()) throw FnError.of("INVALID_ARTIFACT", `the artifact ${path} is no file`)
    const hash = createHash("sha256")
    let sizeBytes = 0
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      hash.update(chunk)
      sizeBytes += chunk.length
    }
    return { digest: `sha256:${hash.digest("hex")}`, sizeBytes }
  } catch (thrown) {
    if (FnError.is(thrown)) throw thrown
    throw FnError.of("INVALID_ARTIFACT", `the artifact ${path} cannot be read: ${messageOf(thrown)}`, { cause: thrown })
  }
}
