/**
 * `node scripts/docs.mjs` writes the generated pages of docs/; `npm run verify -- docs` checks that they are what would be written, that
 * every link leads somewhere, and that the TypeScript examples compile against the packages as they are built.
 */
import { existsSync, readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { dirname, join, relative, resolve } from "node:path"
import { pathToFileURL } from "node:url"
import { defaultsPage } from "./lib/defaults-page.mjs"
import { checkExamples } from "./lib/doc-examples.mjs"
import { packageFolders, root } from "./lib/paths.mjs"
import { ensureSetup } from "./setup.mjs"

/** Problems with the documentation, one sentence each. */
export async function checkDocs() {
  const pages = markdownFiles()
  return [...(await staleness()), ...pages.flatMap(brokenLinks), ...brokenReferences(), ...(await checkExamples(pages))]
}

/** The pages that are written by this script: path and content. */
async function generatedPages() {
  return [
    ["docs/errors.md", await errorsPage()],
    ["docs/defaults.md", await defaultsPage()],
  ]
}

async function staleness() {
  const stale = (await generatedPages()).filter(([path, content]) => readIfThere(join(root, path)) !== content)
  return stale.map(([path]) => `${path} is out of date: run node scripts/docs.mjs`)
}

/** docs/errors.md: every code and every reason of the platform. */
async function errorsPage() {
  const { CODES, REASONS } = await import(pathToFileURL(join(root, "packages/core/dist/index.js")).href)
  const sorted = Object.entries(REASONS).sort(([a], [b]) => a.localeCompare(b))
  const codes = Object.entries(CODES).map(([code, { grpc, http }]) => {
    const reasons = sorted.filter(([, reason]) => reason.code === code).map(([name]) => `[\`${name}\`](#${name.toLowerCase()})`)
    return `| \`${code}\` | ${grpc} | ${http} | ${reasons.join(", ") || "–"} |`
  })
  const reasons = sorted.map(([name, { code, todo }]) => `### ${name}\n\nCode \`${code}\`. ${todo}\n`)
  return `# Errors

<!-- Written by scripts/docs.mjs from packages/core/src/reasons.ts: change it there. -->

Every failure is an \`FnError\`: a \`code\`, one of gRPC's sixteen; a \`reason\`, the stable constant to branch on; and a \`message\` for people,
whose wording may change. \`retryable\` says whether repeating the same call may help. How errors travel is in
[protocol.md](protocol.md#errors).

A function may fail with reasons of its own (\`FnError.terminal("CARD_DECLINED", …)\`); those are not listed here.

## Codes

HTTP status and \`Nats-Service-Error-Code\` are the same number. Several codes share one: branch on the code, not on the number.

| code | gRPC | HTTP | reasons |
|---|---:|---:|---|
${codes.join("\n")}

## Reasons

${reasons.join("\n")}`
}

/** Links of a page to files that do not exist, or to headings that the file does not have. */
function brokenLinks(page) {
  const text = withoutFences(readFileSync(join(root, page), "utf8"))
  const targets = [...text.matchAll(/\]\(([^()\s]+)\)/g)].map(([, target]) => target)
  return targets.filter((target) => !/^[a-z]+:/.test(target)).flatMap((target) => missingTarget(target, dirname(join(root, page)), page))
}

/** Places in sources that name a page or a heading of docs/ which is not there. */
function brokenReferences() {
  const sources = packageFolders().flatMap((folder) => filesBelow(join(root, folder, "src"), /\.(ts|mjs)$/))
  return sources.flatMap((file) => {
    const targets = [...readFileSync(file, "utf8").matchAll(/\bdocs\/[\w./-]+\.md(#[\w-]+)?/g)].map(([target]) => target)
    return [...new Set(targets)].flatMap((target) => missingTarget(target, root, relative(root, file)))
  })
}

function missingTarget(target, folder, where) {
  const [path, anchor] = target.split("#")
  const file = path === "" ? join(root, where) : resolve(folder, decodeURIComponent(path))
  if (!existsSync(file)) return [`${where}: ${target} leads nowhere`]
  if (anchor === undefined || statSync(file).isDirectory() || headings(file).has(anchor)) return []
  return [`${where}: ${target} names a heading that is not there`]
}

/** Anchors of a page, as GitHub makes them from headings. */
function headings(file) {
  const lines = withoutFences(readFileSync(file, "utf8")).split("\n")
  const titles = lines.flatMap((line) => /^#{1,6} +(.*)$/.exec(line)?.[1] ?? [])
  return new Set(
    titles.map((title) =>
      title
        .toLowerCase()
        .replace(/[^\p{L}\p{N}\s_-]/gu, "")
        .trim()
        .replace(/\s/g, "-"),
    ),
  )
}

function withoutFences(text) {
  return text.replace(/^( *)```[\s\S]*?^\1```/gm, "")
}

function markdownFiles() {
  const own = readdirSync(root).filter((name) => name.endsWith(".md"))
  const docs = filesBelow(join(root, "docs"), /\.md$/).map((file) => relative(root, file))
  const readmes = packageFolders().map((folder) => join(folder, "README.md"))
  return [...own, ...docs, ...readmes].filter((page) => existsSync(join(root, page)))
}

function filesBelow(folder, pattern) {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && pattern.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
}

function readIfThere(file) {
  return existsSync(file) ? readFileSync(file, "utf8") : undefined
}

if (import.meta.filename === process.argv[1]) {
  try {
    await ensureSetup()
    for (const [path, content] of await generatedPages()) {
      writeFileSync(join(root, path), content)
      process.stderr.write(`wrote ${path}\n`)
    }
  } catch (error) {
    process.stderr.write(`${error.message}\n`)
    process.exitCode = 1
  }
}
