import { createHash } from "node:crypto"
import { createWriteStream } from "node:fs"
import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { Readable, Transform } from "node:stream"
import { pipeline } from "node:stream/promises"
import type { ReadableStream } from "node:stream/web"
import { FnError, messageOf } from "@fn/core"
import { extract } from "tar"

/** A release whose archives may be downloaded, with the SHA-256 of each that we have seen published. */
export interface PinnedRelease {
  readonly version: string
  /** By {@link platformOf}. */
  readonly sha256: Readonly<Record<string, string>>
}

/**
 * Nothing is downloaded that is not pinned here; a platform that is missing goes on to the next way of getting a server.
 * The digests are those in the Dockerfile of the official image (github.com/nats-io/nats-docker, 2.14.x/alpine3.22).
 */
export const PINNED_RELEASE: PinnedRelease = {
  version: "2.14.5",
  sha256: {
    "linux-amd64": "5e3b603d47c447bda1f77f9ac16dbf91c90aac4ff3681f8fbbc7201e4ed99355",
    "linux-arm64": "673a98d3faa79dde3f9ebf16d6dfac36a5f694e7ad2015e4954dd7939c85cd4c",
    "linux-arm7": "c8796b63a8603fdebabd63146ac3d3997c29a2829fdd2af6db320f4a287f2e71",
    "linux-386": "7eb520d5080d2c4b2e9ad0866aa301f7c7af35058bfae61c1ba0cef472d21d47",
    "linux-ppc64le": "5d8f1a264a3bc4b30899814ae8e898b1268e817074635adddd24b32f388e4cc4",
    "linux-s390x": "829193e8c592e0df5f15402c27417df18d26503d22b77dfc9491982fe0b51a67",
  },
}

const DOWNLOADS = "https://github.com/nats-io/nats-server/releases/download"
const DOWNLOAD_TIMEOUT_MS = 180_000
const ARCHITECTURES: Readonly<Partial<Record<string, string>>> = {
  x64: "amd64",
  arm64: "arm64",
  arm: "arm7",
  ia32: "386",
  ppc64: "ppc64le",
  s390x: "s390x",
}

/** This machine as the release files name it: `linux-amd64`. */
export function platformOf(platform: string = process.platform, architecture: string = process.arch): string {
  return `${platform}-${ARCHITECTURES[architecture] ?? architecture}`
}

/** Settings of {@link downloadRelease}. */
export interface DownloadOptions {
  readonly release?: PinnedRelease
  readonly platform?: string
  /** Default: the official one. */
  readonly downloads?: string
  /** Told once, before the download begins. */
  readonly onProgress: (line: string) => void
}

/**
 * The server of a pinned release, downloaded into `workDir`, its archive verified before anything of it is unpacked.
 * @throws {FnError} unimplemented where nothing is pinned for this platform, unavailable when the download fails, data_loss CHECKSUM_MISMATCH
 */
export async function downloadRelease(workDir: string, options: DownloadOptions): Promise<{ program: string; version: string }> {
  const { version, sha256 } = options.release ?? PINNED_RELEASE
  const platform = options.platform ?? platformOf()
  const digest = sha256[platform]
  if (digest === undefined)
    throw new FnError("unimplemented", `no digest is pinned for nats-server ${version} on ${platform}, so it is not downloaded`)
  const name = `nats-server-v${version}-${platform}`
  const url = `${options.downloads ?? DOWNLOADS}/v${version}/${name}.tar.gz`
  options.onProgress(`fetching nats-server ${version} from ${url}`)
  const archive = join(workDir, "archive.tar.gz")
  const actual = await download(url, archive)
  if (actual !== digest) throw FnError.of("CHECKSUM_MISMATCH", `${url} has sha-256 ${actual}, but ${digest} is pinned: it was not unpacked`)
  const wanted = `${name}/nats-server`
  await extract({ file: archive, cwd: workDir, strict: true, filter: (path) => path === wanted })
  const program = join(workDir, wanted)
  try {
    await chmod(program, 0o755)
  } catch (cause) {
    throw new FnError("unavailable", `${url} holds no ${wanted}`, { cause })
  }
  return { program, version }
}

/** Saves `url` as `path`; returns its SHA-256. */
async function download(url: string, path: string): Promise<string> {
  const hash = createHash("sha256")
  const hashing = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      hash.update(chunk)
      done(null, chunk)
    },
  })
  try {
    const response = await fetch(url, { signal: AbortSignal.timeout(DOWNLOAD_TIMEOUT_MS) })
    if (!response.ok || !response.body) throw new Error(`HTTP ${response.status}`)
    await pipeline(Readable.fromWeb(response.body as ReadableStream), hashing, createWriteStream(path))
  } catch (cause) {
    const why = cause instanceof TypeError && cause.cause ? messageOf(cause.cause) : messageOf(cause)
    throw new FnError("unavailable", `cannot download ${url}: ${why}`, { cause })
  }
  return hash.digest("hex")
}
