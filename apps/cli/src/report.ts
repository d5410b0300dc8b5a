import { type FnError, type FnErrorData, REASONS } from "@fn/core"
import type { Style } from "./style.js"

/** An error as `--json` prints it: what travels, and what to do next. */
export interface ErrorReport extends FnErrorData {
  /** What a person can do about it, where the platform knows. */
  todo?: string
  /** Where the reason is described. */
  docs?: string
}

/** What to do about `reason`; undefined for a function's own reasons. */
export function todoOf(reason: string): string | undefined {
  return reason in REASONS ? REASONS[reason as keyof typeof REASONS].todo : undefined
}

/** `error` for machines. */
export function errorReport(error: FnError): ErrorReport {
  const todo = todoOf(error.reason)
  return todo === undefined ? error.toData() : { ...error.toData(), todo, docs: docsAnchor(error.reason) }
}

/** `error` for people: what happened, why, what to do next. */
export function formatError(error: FnError, style: Style): string {
  const [first = "", ...rest] = error.message.split("\n")
  const lines = [`${style.red("error:")} ${style.bold(first)}`, ...rest.map((line) => (line === "" ? line : `  ${line}`))]
  lines.push(`  ${style.dim("why: ")} ${error.reason} ${style.dim(`(${error.code}${error.errorId ? `, error id ${error.errorId}` : ""})`)}`)
  const todo = todoOf(error.reason)
  if (todo !== undefined) lines.push(`  ${style.dim("next:")} ${todo}`, `  ${style.dim("more:")} ${style.dim(docsAnchor(error.reason))}`)
  return lines.join("\n")
}

function docsAnchor(reason: string): string {
  return `docs/errors.md#${reason.toLowerCase()}`
}
