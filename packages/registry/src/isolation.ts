/** What a definition asks of the isolation of its function: `isolation` in fn.yaml. docs/isolation.md#in-fnyaml */
import { posix } from "node:path"
import { FnError } from "@fn/core"
import { z } from "zod"
import type { FunctionDefinition } from "./definition.js"

/** `none`: whatever its runtime gives. `process`, `sandbox`: docs/isolation.md. `wasm`: a WebAssembly program, which reaches nothing by itself. */
export type IsolationLevel = "none" | "process" | "sandbox" | "wasm"

/** A file or folder of the host that the function may see. */
export interface FileRequest {
  readonly path: string
  /** Where it sees it. Default: as on the host. */
  readonly at?: string | undefined
  readonly writable?: boolean | undefined
}

/** Nothing, everything, or these `host:port`. */
export type NetworkRequest = "none" | "full" | readonly string[]

/** What is asked for, in one form. What is not said is for the host's policy to say. */
export interface IsolationRequest {
  readonly level: IsolationLevel | undefined
  readonly network: NetworkRequest | undefined
  readonly files: readonly FileRequest[]
}

const TARGET = /^(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]{0,252})):([1-9]\d{0,4})$/
const path = z
  .string()
  .max(4096)
  .refine((text) => text.startsWith("/") && posix.normalize(text) === text && !text.includes("\0"))
const levelSchema = z.enum(["none", "process", "sandbox", "wasm"])
const networkSchema = z.union([z.enum(["none", "full"]), z.array(z.string().regex(TARGET, "host:port")).min(1).max(64)], {
  error: "none, full, or a list of host:port",
})
const fileSchema = z.union(
  [
    path.transform((text): FileRequest => ({ path: text })),
    z.strictObject({ path, at: path.optional(), writable: z.boolean().optional() }),
  ],
  { error: "an absolute path without . and .., or { path, at, writable }" },
)

/** As `fn.yaml` may say it. Unknown keys fail. */
export const isolationManifestSchema = z.strictObject({
  level: levelSchema.optional(),
  network: networkSchema.optional(),
  files: z.array(fileSchema).max(32).optional(),
})

/** As it is stored. What only a newer release understands is no damage: {@link isolationRequest} refuses it. */
export const storedIsolationSchema = z.looseObject({
  level: levelSchema.optional(),
  network: z.unknown().optional(),
  files: z.unknown().optional(),
})

/**
 * What a stored definition asks for.
 * @throws {FnError} failed_precondition ISOLATION_UNAVAILABLE for what this release does not understand
 */
export function isolationRequest({
  namespace,
  name,
  version,
  isolation,
}: Pick<FunctionDefinition, "namespace" | "name" | "version" | "isolation">): IsolationRequest {
  const parsed = isolationManifestSchema.safeParse(isolation ?? {})
  if (!parsed.success) {
    const settings = parsed.error.issues.map((issue) => ["isolation", ...issue.path].join("."))
    throw FnError.of(
      "ISOLATION_UNAVAILABLE",
      `this release does not understand what ${namespace}/${name}@${version} asks for: ${settings.join(", ")}`,
      {
        details: { settings },
      },
    )
  }
  const { level, network, files = [] } = parsed.data
  return { level, network, files }
}
