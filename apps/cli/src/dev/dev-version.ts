import { createHash } from "node:crypto"
import type { FunctionManifest } from "@fn/registry"

/** What tells two builds of a function apart: the artifact and everything fn.yaml says but the version. Hex. */
export function contentDigest(artifactDigest: string | undefined, manifest: FunctionManifest): string {
  const { version: _, ...rest } = manifest
  return createHash("sha256")
    .update(artifactDigest ?? "")
    .update("\0")
    .update(canonicalJson(rest))
    .digest("hex")
}

/** `1.2.0-dev.<digest8>`: the name of other content than what is deployed as `version`. */
export function devVersion(version: string, digest: string): string {
  const digest8 = digest.slice(0, 8)
  // Only digits with a leading zero would be no semver identifier.
  const identifier = /^0\d+$/.test(digest8) ? `d${digest8}` : digest8
  return `${version}${version.includes("-") ? "." : "-"}dev.${identifier}`
}

/** The version a development version was made for. */
export function baseVersion(version: string): string {
  return version.replace(/[-.]dev\.[0-9a-z]+$/, "")
}

function canonicalJson(value: unknown): string {
  return JSON.stringify(value, (_key, inner: unknown) => {
    if (typeof inner !== "object" || inner === null || Array.isArray(inner)) return inner
    return Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1)))
  })
}
