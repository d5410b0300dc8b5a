import { existsSync } from "node:fs"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { root } from "./paths.mjs"

const APPS = ["runtime-service", "gateway"]

/** docs/defaults.md: every setting of every process, from the schemas that read them. */
export async function defaultsPage() {
  const { NATS_OPTION_FLAGS } = await load("packages/nats/dist/index.js")
  const connection = NATS_OPTION_FLAGS.map(({ flag, env, description }) => [`\`${flag}\``, `\`${env}\``, description])
  const sections = [["Connection", "The same for every process and for `fn`. In a configuration file they stand under `nats`.", connection]]
  for (const app of APPS) {
    for (const spec of await specsOf(app)) sections.push([spec.name, spec.description, spec.options.map(optionRow)])
  }
  const text = sections.map(([title, intro, rows]) => `## ${title}\n\n${intro}\n\n${table(["flag", "variable", "what"], rows)}`)
  return `# Settings and their defaults

<!-- Written by scripts/docs.mjs from the schemas of the processes: change them there. -->

A flag wins over the variable, the variable over the configuration file (\`--config\`, \`FN_CONFIG\`), the file over the default.

${text.join("\n\n")}

## Functions

What \`fn.yaml\` leaves out.

${table(["setting", "default"], await functionDefaults())}
`
}

async function specsOf(app) {
  const file = `apps/${app}/dist/config.js`
  if (!existsSync(join(root, file))) return []
  return Object.values(await load(file)).filter((value) => Array.isArray(value?.options) && typeof value.name === "string")
}

function optionRow({ key, description }) {
  const dashed = key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  return [`\`--${dashed}\``, `\`FN_${dashed.replaceAll("-", "_").toUpperCase()}\``, description]
}

async function functionDefaults() {
  const { draftDefinition } = await load("packages/registry/dist/draft.js")
  const draft = (runtime) =>
    draftDefinition({ name: "x", language: "js", runtime, retry: {} }, { deployedBy: "x", deployedAt: "2026-01-01T00:00:00Z" })
  const { timeoutMs, instances, retry, memoryMb, record } = draft("module")
  return [
    ["`namespace`", "`default`"],
    ["`version`", "the last one with patch + 1; `0.0.1` for the first"],
    ["`timeoutMs`", timeoutMs],
    [
      "`concurrency`",
      `module ${draft("module").concurrency}, plugin ${draft("plugin").concurrency}, builtin ${draft("builtin").concurrency}, command ${draft("command").concurrency}, wasm ${draft("wasm").concurrency}`,
    ],
    ["`instances`", `min ${instances.min}, max ${instances.max}, per host`],
    ["`memoryMb`", `module ${memoryMb} (heap of its process), wasm ${draft("wasm").memoryMb} (linear memory)`],
    ["`retry`", `not used by request/reply; ${retry.attempts} attempts, ${retry.initialMs} … ${retry.maxMs} ms, factor ${retry.factor}`],
    ["`record`", `\`${record}\``],
  ]
}

function table(head, rows) {
  const line = (cells) => `| ${cells.map((cell) => String(cell).replaceAll("|", "\\|")).join(" | ")} |`
  return [line(head), `|${head.map(() => "---").join("|")}|`, ...rows.map(line)].join("\n")
}

function load(file) {
  return import(pathToFileURL(join(root, file)).href)
}
