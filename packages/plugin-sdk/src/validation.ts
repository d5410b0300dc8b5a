import { FnError, messageOf } from "@fn/core"
import { issuePath, type SchemaIssue, type SchemaResult, type StandardSchema } from "./standard-schema.js"

/** Which end of the wire found an event's data wrong. */
export type ValidationSide = "sender" | "receiver"

/** The data of an event of `type` as its schema gives it; a promise where the schema is asynchronous. @throws {FnError} INVALID_EVENT */
export function validateData(schema: StandardSchema, data: unknown, type: string, side: ValidationSide): unknown {
  const result = schema["~standard"].validate(data)
  if (isPromise(result)) return result.then((settled) => dataOf(settled, type, side))
  return dataOf(result, type, side)
}

/** Like {@link validateData} where there is no time to wait. @throws {FnError} INVALID_EVENT, or INVALID_DEFINITION for an asynchronous schema */
export function validateDataNow(schema: StandardSchema, data: unknown, type: string, side: ValidationSide): unknown {
  const result = schema["~standard"].validate(data)
  if (!isPromise(result)) return dataOf(result, type, side)
  result.catch(() => undefined) // its outcome is not wanted any more
  throw FnError.of("INVALID_DEFINITION", `the schema of ${type} validates asynchronously; only a handler's input can wait for it`)
}

/** The configuration as its schema gives it. @throws {FnError} invalid_argument INVALID_CONFIG naming every key that is wrong */
export async function validateConfig(schema: StandardSchema, config: unknown, fnName: string): Promise<unknown> {
  const result = await schema["~standard"].validate(config)
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => ({ ...describeIssue(issue, []), pointer: jsonPointer(issuePath(issue)) }))
  throw FnError.of("INVALID_CONFIG", `invalid config of ${fnName}: ${text(issues)}`, { details: { issues } })
}

function dataOf(result: SchemaResult<unknown>, type: string, side: ValidationSide): unknown {
  if (result.issues === undefined) return result.value
  const issues = result.issues.map((issue) => describeIssue(issue, ["data"]))
  throw FnError.of("INVALID_EVENT", `invalid event: ${type}, checked by the ${side}: ${text(issues)}`, {
    details: { side, type, attribute: issues[0]?.path ?? "data", issues },
  })
}

function describeIssue(issue: SchemaIssue, root: string[]): { path: string; message: string } {
  return { path: [...root, ...issuePath(issue)].join("."), message: messageOf(issue) }
}

/** RFC 6901. */
function jsonPointer(path: readonly string[]): string {
  return path.map((key) => `/${key.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("")
}

function text(issues: readonly { path: string; message: string }[]): string {
  return issues.map(({ path, message }) => (path === "" ? message : `${path}: ${message}`)).join("; ")
}

function isPromise<T>(value: T | Promise<T>): value is Promise<T> {
  return typeof value === "object" && value !== null && "then" in value
}
