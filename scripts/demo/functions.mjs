import { spawnSync } from "node:child_process"
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { root } from "../lib/paths.mjs"

/** Events that go through each function, by the client. */
const EVENTS = 240

/** The functions of the demo with the webhooks each gets and what is expected of it, and the kinds this machine cannot run. */
export async function functionsFor() {
  const all = await githubEvents()
  const take = (accepts) => repeat(all.filter(({ type }) => accepts.some((prefix) => type === prefix || type.startsWith(`${prefix}.`))))
  const kinds = [
    { name: "redact", kind: "builtin", payloads: repeat(all), expected: await inProcess("examples/redact/functions.mjs", "redact") },
    {
      name: "issue-labeler",
      kind: "module",
      folder: "examples/issue-labeler",
      payloads: take(["com.github.issues", "com.github.pull_request"]),
      expected: await inProcess("examples/issue-labeler/src/index.ts", "default"),
    },
    {
      name: "push-summary",
      kind: "plugin (TypeScript)",
      folder: "examples/push-summary",
      payloads: take(["com.github.push"]),
      expected: await inProcess("examples/push-summary/src/index.ts", "default"),
    },
  ]
  const missing = []
  if (spawnSync("go", ["version"]).status === 0) {
    // Go cannot run in this process: its answers are checked by their shape, and those by client, HTTP and bare NATS must agree.
    const isValid = (events) => events.length <= 1 && events.every(({ type }) => type === "com.example.github.signal")
    kinds.push({
      name: "noise-filter",
      kind: "plugin (Go)",
      folder: "examples/noise-filter",
      payloads: repeat(all),
      expected: undefined,
      isValid,
    })
  } else missing.push({ kind: "plugin (Go)", reason: "there is no go on PATH; install Go to see it" })
  return { kinds, missing }
}

/** Each webhook of the collection as a CloudEvent: `com.github.<event>[.<action>]`, from its repository. */
async function githubEvents() {
  const webhooks = createRequire(join(root, "package.json"))("@octokit/webhooks-examples")
  return webhooks.flatMap(({ name, examples }) =>
    examples.map((payload) => ({
      type: `com.github.${name}${payload.action ? `.${payload.action}` : ""}`,
      source: payload.repository?.html_url ?? "https://github.com",
      data: payload,
    })),
  )
}

/** `EVENTS` events, each with an id of its own, from as many different ones as there are. */
function repeat(events) {
  return Array.from({ length: EVENTS }, (_, at) => ({ ...events[at % events.length], id: `webhook-${at}` }))
}

/** What the same function gives in this process: the data of its events, in order. */
async function inProcess(file, exportName) {
  const { tsImport } = await import("tsx/esm/api")
  const { testFunction } = await import(join(root, "packages/plugin-sdk/dist/testing/index.js"))
  const module = await tsImport(pathToFileURL(join(root, file)).href, import.meta.url)
  const fn = await testFunction(module[exportName], exportName === "default" ? { config: {} } : {})
  return async (event) => (await fn.invoke(event)).map(({ type, subject, data }) => ({ type, subject, data }))
}
