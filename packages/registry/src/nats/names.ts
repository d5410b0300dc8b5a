import { checkNamespace } from "@fn/core"

const DEFAULT_PREFIX = "function"

/** Names of a platform's buckets and subjects, so that several platforms fit one account. */
export interface RegistryNames {
  /** KV bucket of records and definitions. */
  readonly bucket: string
  /** Stream behind it. */
  readonly stream: string
  /** What the stream's changes are republished under, with the dot at its end. */
  readonly feed: string
  /** Object store bucket of a namespace's artifacts. */
  artifacts(namespace: string): string
}

/** The names for a subject prefix. `functions` and `fn.registry.` for the default one. */
export function registryNames(prefix: string = DEFAULT_PREFIX): RegistryNames {
  const isDefault = prefix === DEFAULT_PREFIX
  const bucket = isDefault ? "functions" : `${prefix}-functions`
  return {
    bucket,
    stream: `KV_${bucket}`,
    feed: isDefault ? "fn.registry." : `fn.registry-${prefix}.`,
    // Upper case, which no namespace has, so that no pair of prefix and namespace makes the name of another pair.
    artifacts: (namespace) => `${prefix}-ARTIFACTS-${checkNamespace(namespace)}`,
  }
}
