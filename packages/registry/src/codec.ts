import { FnError } from "@fn/core"
import type { z } from "zod"
import { type FunctionDefinition, type FunctionRecord, formatIssue, functionDefinitionSchema, functionRecordSchema } from "./definition.js"
import { parseFunctionKey, parseVersionKey } from "./keys.js"

/** Every host keeps every record: they stay small. */
export const MAX_RECORD_BYTES = 2048
/** Definitions are read one at a time; this keeps them well below the smallest sensible max_payload. */
export const MAX_DEFINITION_BYTES = 262_144

/** Bytes of a record. @throws {FnError} INVALID_DEFINITION when they are more than {@link MAX_RECORD_BYTES} */
export function encodeRecord(record: FunctionRecord): Uint8Array {
  return encode(record, MAX_RECORD_BYTES, "the function record (metadata and aliases)")
}

/** Bytes of a definition. @throws {FnError} INVALID_DEFINITION when they are more than {@link MAX_DEFINITION_BYTES} */
export function encodeDefinition(definition: FunctionDefinition): Uint8Array {
  return encode(definition, MAX_DEFINITION_BYTES, "the definition (config, env and metadata)")
}

/** The record under `key`. @throws {FnError} RECORD_CORRUPT, SCHEMA_TOO_NEW */
export function decodeRecord(key: string, value: Uint8Array): FunctionRecord {
  const record = decode(key, value, functionRecordSchema)
  const named = parseFunctionKey(key)
  if (named?.namespace !== record.namespace || named.name !== record.name) {
    throw corrupt(key, `it is the record of ${record.namespace}/${record.name}`)
  }
  return record
}

/** The definition under `key`. @throws {FnError} RECORD_CORRUPT, SCHEMA_TOO_NEW */
export function decodeDefinition(key: string, value: Uint8Array): FunctionDefinition {
  const definition = decode(key, value, functionDefinitionSchema)
  const [, namespace, name] = key.split(".")
  if (namespace !== definition.namespace || name !== definition.name || parseVersionKey(key) !== definition.version) {
    throw corrupt(key, `it is the definition of ${definition.namespace}/${definition.name}@${definition.version}`)
  }
  return definition
}

function encode(value: unknown, maxBytes: number, what: string): Uint8Array {
  const bytes = Buffer.from(JSON.stringify(value))
  if (bytes.length <= maxBytes) return bytes
  throw FnError.of("INVALID_DEFINITION", `${what} would take ${bytes.length} bytes; the limit is ${maxBytes}`)
}

function decode<T extends z.ZodType>(key: string, value: Uint8Array, schema: T): z.infer<T> {
  const json = parseJson(key, value)
  const version = typeof json === "object" && json !== null && "schema" in json ? json.schema : undefined
  if (typeof version === "number" && version > 1) {
    throw FnError.of("SCHEMA_TOO_NEW", `the registry entry ${key} has schema ${version}; this release reads schema 1`, { details: { key } })
  }
  const parsed = schema.safeParse(json)
  if (!parsed.success) throw corrupt(key, parsed.error.issues.map(formatIssue).join("; "))
  return parsed.data
}

function parseJson(key: string, value: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(value.buffer, value.byteOffset, value.byteLength).toString("utf8"))
  } catch (thrown) {
    throw corrupt(key, "it is not JSON", thrown)
  }
}

function corrupt(key: string, why: string, cause?: unknown): FnError {
  return FnError.of("RECORD_CORRUPT", `the registry entry ${key} cannot be read: ${why}`, {
    details: { key },
    ...(cause === undefined ? {} : { cause }),
  })
}
