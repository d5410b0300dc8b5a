/**
 * A deploy: artifact → definition → function record, each step repeatable, so that whoever died half way just deploys again.
 *
 * plan() reads and decides, commit() writes; when the compare-and-set of commit() loses, everything is planned anew. Nothing is visible to
 * hosts before the record is written, and by then all it names is stored.
 */
import { basename } from "node:path"
import { compareVersions, FnError, nextVersion } from "@fn/core"
import { describeArtifact } from "./artifact-digest.js"
import { decodeDefinition, decodeRecord, encodeDefinition, encodeRecord } from "./codec.js"
import {
  type ArtifactInfo,
  artifactFileName,
  type FunctionDefinition,
  type FunctionManifest,
  type FunctionRecord,
  parseManifest,
} from "./definition.js"
import { type DefinitionDraft, draftDefinition, refuseUnsupported, sameContent } from "./draft.js"
import { functionKey, versionKey } from "./keys.js"
import { createDefinition, deployedVersions, findVersion, MAX_ATTEMPTS, type RegistryParts, staleRevision, withActive } from "./records.js"
import type { DeployOptions, DeployProgress, DeployResult } from "./registry.js"

/** What is to be written, and over what. */
interface Plan {
  readonly definition: FunctionDefinition
  /** Revision of the definition's key to write at; undefined: the definition is stored already. */
  readonly definitionAt: number | undefined
  readonly record: FunctionRecord
  readonly recordAt: number
  /** The record says all this already. */
  readonly recordStands: boolean
  readonly warnings: readonly string[]
}

/** See Registry.deploy. */
export async function deploy(parts: RegistryParts, input: FunctionManifest, options: DeployOptions): Promise<DeployResult> {
  const manifest = parseManifest(input)
  refuseUnsupported(manifest)
  const progress = options.onProgress ?? (() => undefined)
  const served = options.awaitServed === false ? undefined : parts.awaitServed?.()
  const draft = draftDefinition(manifest, {
    artifact: await artifactInfo(manifest, options),
    sourceDigest: options.sourceDigest,
    deployedBy: options.deployedBy ?? "unknown",
    deployedAt: new Date().toISOString(),
  })
  const committed = await commitDraft(parts, draft, manifest.version, options, progress)
  const { namespace, name, version } = committed.plan.definition
  const ref = { namespace, name, version }
  const { hosts, warnings } = (await served?.(ref, committed.revision, progress)) ?? { hosts: [], warnings: [] }
  return {
    ref,
    revision: committed.revision,
    ...(draft.artifact ? { digest: draft.artifact.digest } : {}),
    unchanged: committed.unchanged,
    warnings: [...committed.plan.warnings, ...warnings],
    hosts,
  }
}

async function commitDraft(
  parts: RegistryParts,
  draft: DefinitionDraft,
  version: string | undefined,
  options: DeployOptions,
  progress: (progress: DeployProgress) => void,
): Promise<{ plan: Plan; revision: number; unchanged: boolean }> {
  let uploaded = false
  for (let attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
    const plan = await makePlan(parts, draft, version)
    if (plan === undefined) continue
    if (!uploaded && options.artifact) {
      await upload(parts, draft, options.artifact, progress)
      uploaded = true
    }
    progress({ step: "commit", version: plan.definition.version })
    const revision = await commit(parts, plan)
    if (revision !== undefined) return { plan, revision, unchanged: plan.recordStands && plan.definitionAt === undefined }
  }
  throw staleRevision(draft, `others changed it ${MAX_ATTEMPTS} times in a row`)
}

async function upload(
  parts: RegistryParts,
  draft: DefinitionDraft,
  artifact: NonNullable<DeployOptions["artifact"]>,
  progress: (progress: DeployProgress) => void,
): Promise<void> {
  const stored = await parts.artifacts.put(draft.namespace, artifact, {
    onProgress: (sentBytes, sizeBytes) => progress({ step: "upload", sentBytes, sizeBytes }),
  })
  if (stored.digest === draft.artifact?.digest) return
  throw FnError.of("INVALID_ARTIFACT", "the artifact changed while it was deployed")
}

/** Undefined when somebody took the version that was chosen here. */
async function makePlan(parts: RegistryParts, draft: DefinitionDraft, wanted: string | undefined): Promise<Plan | undefined> {
  const warnings: string[] = []
  const key = functionKey(draft.namespace, draft.name)
  const stored = await parts.records.get(key)
  const previous = stored?.value && readable(() => decodeRecord(key, stored.value as Uint8Array), warnings)
  if (previous && previous.language !== draft.language) {
    throw FnError.of(
      "LANGUAGE_FIXED",
      `${key.slice(2).replace(".", "/")} is a ${previous.language} function and cannot become ${draft.language}`,
    )
  }
  const version = wanted ?? (await chooseVersion(parts, draft, previous))
  const definition: FunctionDefinition = { ...draft, version }
  encodeDefinition(definition)
  const taken = await lookUp(parts, definition, warnings)
  if (taken.by === "other") {
    if (wanted === undefined) return undefined
    throw versionExists(taken.existing)
  }
  const definitionAt = taken.by === "same" ? undefined : taken.revision
  const record = nextRecord(previous, definition)
  encodeRecord(record)
  const recordStands = previous !== undefined && previous.activeVersion === version && previous.runtime === definition.runtime
  return { definition, definitionAt, record, recordAt: stored?.revision ?? 0, recordStands, warnings }
}

/** Writes a plan; undefined when somebody else was faster somewhere. */
async function commit(parts: RegistryParts, plan: Plan): Promise<number | undefined> {
  const { records } = parts
  const { definition } = plan
  if (plan.definitionAt !== undefined) {
    const key = versionKey(definition.namespace, definition.name, definition.version)
    if ((await records.write(key, encodeDefinition(definition), plan.definitionAt)) === undefined) return undefined
  } else if (plan.recordStands) return plan.recordAt
  const revision = await records.write(functionKey(definition.namespace, definition.name), encodeRecord(plan.record), plan.recordAt)
  // A deletion of the whole function that began before may only now have come to the definition.
  if (revision !== undefined) await createDefinition(records, definition)
  return revision
}

/** The version after the last one; the active one when it has this very content, so that a deploy without a version can be repeated. */
async function chooseVersion(parts: RegistryParts, draft: DefinitionDraft, previous: FunctionRecord | undefined): Promise<string> {
  const [newest] = await deployedVersions(parts.records, draft)
  if (!previous) return nextVersion(newest)
  const active = await findVersion(parts.records, draft, previous.activeVersion)
  if (active && sameContent(active, draft)) return active.version
  const last = newest !== undefined && compareVersions(newest, previous.activeVersion) > 0 ? newest : previous.activeVersion
  return nextVersion(last)
}

/** What is stored under a definition's key. */
type Taken =
  | { readonly by: "nobody"; readonly revision: number }
  | { readonly by: "same" }
  | { readonly by: "other"; readonly existing: FunctionDefinition }

async function lookUp(parts: RegistryParts, definition: FunctionDefinition, warnings: string[]): Promise<Taken> {
  const key = versionKey(definition.namespace, definition.name, definition.version)
  const stored = await parts.records.get(key)
  if (stored?.value === undefined) return { by: "nobody", revision: stored?.revision ?? 0 }
  const { value, revision } = stored
  const existing = readable(() => decodeDefinition(key, value), warnings)
  if (existing === undefined) return { by: "nobody", revision }
  return sameContent(existing, definition) ? { by: "same" } : { by: "other", existing }
}

function nextRecord(previous: FunctionRecord | undefined, definition: FunctionDefinition): FunctionRecord {
  return {
    ...withActive(previous ?? {}, definition),
    schema: 1,
    namespace: definition.namespace,
    name: definition.name,
    language: definition.language,
    aliases: previous?.aliases ?? {},
    generation: (previous?.generation ?? 0) + 1,
    deployedAt: definition.deployedAt,
    deployedBy: definition.deployedBy,
  }
}

/** What `read` returns; undefined, with a warning, for junk: a deploy repairs it. What a newer release wrote stays an error. */
function readable<T>(read: () => T, warnings: string[]): T | undefined {
  try {
    return read()
  } catch (thrown) {
    if (!FnError.is(thrown) || thrown.reason !== "RECORD_CORRUPT") throw thrown
    warnings.push(`${thrown.message}; this deploy replaced it`)
    return undefined
  }
}

async function artifactInfo(manifest: FunctionManifest, options: DeployOptions): Promise<ArtifactInfo | undefined> {
  if (options.artifact === undefined) {
    if (!needsArtifact(manifest)) return undefined
    throw FnError.of("INVALID_ARTIFACT", `a ${manifest.runtime} function needs an artifact`)
  }
  if (manifest.runtime === "builtin") throw FnError.of("INVALID_ARTIFACT", "a builtin has no artifact: its code is part of the host")
  const { digest, sizeBytes } = await describeArtifact(options.artifact)
  const fileName = artifactFileName(options.fileName ?? defaultFileName(manifest, options.artifact))
  if (options.archive) {
    refuseArchive(manifest)
    return { digest, sizeBytes, fileName, executable: false, archive: true }
  }
  const executable = (manifest.runtime === "plugin" || manifest.runtime === "command") && !/\.[cm]?js$/.test(fileName)
  return { digest, sizeBytes, fileName, executable }
}

/** Nothing says which of several files is to be run but a command. */
function refuseArchive({ runtime, command }: FunctionManifest): void {
  if (runtime !== "plugin" && runtime !== "command")
    throw FnError.of("INVALID_ARTIFACT", `the artifact of a ${runtime} function is one file, not an archive`)
  if (command?.some((argument) => argument.includes("{artifact}"))) return
  throw FnError.of("INVALID_DEFINITION", 'an archive needs a command that says what to run in it, such as ["ruby", "{artifact}/main.rb"]')
}

function needsArtifact(manifest: FunctionManifest): boolean {
  if (manifest.runtime === "builtin") return false
  if (manifest.runtime === "module" || manifest.runtime === "wasm") return true
  return manifest.command === undefined || manifest.command.some((argument) => argument.includes("{artifact}"))
}

function defaultFileName(manifest: FunctionManifest, artifact: NonNullable<DeployOptions["artifact"]>): string {
  if (!(artifact instanceof Uint8Array)) return basename(artifact.path)
  if (manifest.runtime === "module") return `${manifest.name}.mjs`
  return manifest.entry === undefined ? manifest.name : basename(manifest.entry)
}

function versionExists({ namespace, name, version, deployedAt, deployedBy, artifact }: FunctionDefinition): FnError {
  return FnError.of("VERSION_EXISTS", `${namespace}/${name}@${version} was deployed before with other content`, {
    details: { deployedAt, deployedBy, ...(artifact ? { digest: artifact.digest } : {}) },
  })
}
