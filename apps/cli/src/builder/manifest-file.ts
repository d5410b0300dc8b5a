/** Reads `fn.yaml`: YAML by the schema of @fn/registry, every problem in one error, each with its line. */
import { readFile } from "node:fs/promises"
import { join } from "node:path"
import { FnError } from "@fn/core"
import { type FunctionManifest, formatIssue, functionManifestSchema } from "@fn/registry"
import { type Document, isMap, isNode, isScalar, LineCounter, parseDocument } from "yaml"
import { limitHint, settingMeantBy } from "./limit-hints.js"

export const MANIFEST_FILE = "fn.yaml"

type Issue = NonNullable<ReturnType<typeof functionManifestSchema.safeParse>["error"]>["issues"][number]

/** One thing wrong with a manifest. */
interface Problem {
  readonly line: number
  readonly column: number
  readonly text: string
}

/**
 * The manifest of the function in `dir`.
 * @throws {FnError} invalid_argument INVALID_DEFINITION; `details.problems` has every one as `fn.yaml:line:column: what is wrong`
 */
export async function readManifest(dir: string): Promise<FunctionManifest> {
  const path = join(dir, MANIFEST_FILE)
  let text: string
  try {
    text = await readFile(path, "utf8")
  } catch (cause) {
    throw FnError.of("INVALID_DEFINITION", `${dir} is no function: ${unreadable(cause)} (fn init makes a folder that has one)`, { cause })
  }
  return parseManifestText(text)
}

/** The manifest in the text of a `fn.yaml`. @throws {FnError} invalid_argument INVALID_DEFINITION */
export function parseManifestText(text: string): FunctionManifest {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number): { line: number; column: number } => {
    const { line, col } = lines.linePos(offset)
    return { line: Math.max(1, line), column: Math.max(1, col) }
  }
  if (document.errors.length > 0) throw invalid(document.errors.map((error) => ({ ...at(error.pos[0]), text: error.message })))
  const parsed = functionManifestSchema.safeParse(document.toJS() ?? {})
  if (parsed.success) return parsed.data
  throw invalid(parsed.error.issues.flatMap((issue) => places(document, issue).map(({ offset, text }) => ({ ...at(offset), text }))))
}

/** Where in the file an issue is; one for each unknown key. */
function places(document: Document, issue: Issue): { offset: number; text: string }[] {
  if (issue.code !== "unrecognized_keys") {
    const hint = limitHint(issue.path, valueAt(document, issue.path))
    const message = hint ?? issue.message
    return [{ offset: offsetOf(document, issue.path), text: formatIssue({ path: issue.path, message }) }]
  }
  return issue.keys.map((key) => {
    const path = [...issue.path, key]
    const meant = settingMeantBy(path)
    const text = `${path.map(String).join(".")}: there is no such setting${meant === undefined ? "" : `; there is ${meant}`}`
    return { offset: keyOffset(document, path), text }
  })
}

function valueAt(document: Document, path: readonly PropertyKey[]): unknown {
  const node = document.getIn(path, false)
  return isNode(node) ? node.toJSON() : node
}

/** Start of the value at `path`, or of the nearest thing around it that is in the file. */
function offsetOf(document: Document, path: readonly PropertyKey[]): number {
  for (let length = path.length; length > 0; length--) {
    const node = document.getIn(path.slice(0, length), true)
    if (isNode(node) && node.range) return node.range[0]
    const key = keyOffset(document, path.slice(0, length))
    if (key > 0) return key
  }
  return 0
}

function keyOffset(document: Document, path: readonly PropertyKey[]): number {
  const parent = path.length === 1 ? document.contents : document.getIn(path.slice(0, -1), true)
  if (!isMap(parent)) return 0
  const pair = parent.items.find(({ key }) => isScalar(key) && String(key.value) === String(path.at(-1)))
  return isScalar(pair?.key) ? (pair.key.range?.[0] ?? 0) : 0
}

function invalid(problems: Problem[]): FnError {
  const sorted = problems.sort((a, b) => a.line - b.line || a.column - b.column)
  const texts = sorted.map(({ line, column, text }) => `${MANIFEST_FILE}:${line}:${column}: ${text}`)
  const count = texts.length === 1 ? "a problem" : `${texts.length} problems`
  return FnError.of("INVALID_DEFINITION", `${MANIFEST_FILE} has ${count}\n${texts.join("\n")}`, { details: { problems: texts } })
}

function unreadable(cause: unknown): string {
  const { code, message } = cause as NodeJS.ErrnoException
  if (code === "ENOENT" || code === "ENOTDIR") return `there is no ${MANIFEST_FILE} in it`
  return `its ${MANIFEST_FILE} cannot be read: ${message}`
}
