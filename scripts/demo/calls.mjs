import { createRequire } from "node:module"
import { join } from "node:path"
import { isDeepStrictEqual } from "node:util"
import { root } from "../lib/paths.mjs"

/** Calls at once. */
const IN_FLIGHT = 8
/** Events of each function that go through HTTP as well. */
const BY_HTTP = 40

/** Sends every webhook of one kind through its function by the client, some by HTTP too, one by a bare NATS request, and compares. */
export async function invokeEverything(platform, kind, bar) {
  const { name, payloads, expected } = kind
  const result = { ...kind, eventsIn: 0, eventsOut: 0, errors: 0, mismatches: [], latencies: [], coldStartMs: 0, sample: undefined }
  const answers = []
  const call = async (event, at) => {
    const startedAt = performance.now()
    const answer = await platform.client.tryInvoke(name, event)
    const tookMs = performance.now() - startedAt
    if (at === 0) result.coldStartMs = tookMs
    else result.latencies.push(tookMs)
    result.eventsIn++
    bar.step()
    if (!answer.ok) return fail(result, event, answer.error.message)
    answers[at] = answer.events.map(essence)
    result.eventsOut += answer.events.length
    if (!result.sample && answer.events.length > 1) result.sample = { event, events: answer.events }
    const wanted = expected && (await expected(event)).map(essence)
    if (wanted && !isDeepStrictEqual(answers[at], wanted)) mismatch(result, event, "differs from the same function run in this process")
    if (kind.isValid && !kind.isValid(answers[at])) mismatch(result, event, "is no answer of this function")
  }
  await call(payloads[0], 0)
  await inParallel(payloads.slice(1), (event, at) => call(event, at + 1))
  await inParallel(payloads.slice(0, BY_HTTP), async (event, at) =>
    compare(result, event, answers[at], await byHttp(platform, name, event), "HTTP"),
  )
  await compare(result, payloads[0], answers[0], await bare(platform, kind, payloads[0]), "bare NATS")
  return result
}

/** The way of any HTTP client: a structured event in, 204, one event or a batch out. */
async function byHttp(platform, name, event) {
  const response = await fetch(`${platform.http}/function/${name}`, {
    method: "POST",
    headers: { "content-type": "application/cloudevents+json", accept: "application/cloudevents-batch+json" },
    body: JSON.stringify({ specversion: "1.0", datacontenttype: "application/json", ...event }),
  })
  if (response.status === 204) return []
  if (!response.ok) throw new Error(`HTTP ${response.status}: ${await response.text()}`)
  return asList(await response.json())
}

/** The way of any NATS client: one request with a structured event. */
async function bare(platform, { name, kind }, event) {
  // The client library, as any program without fn would use it. Only there once the workspace is installed.
  const { headers } = createRequire(join(root, "packages/nats/package.json"))("@nats-io/transport-node")
  const fields = headers()
  fields.set("content-type", "application/cloudevents+json")
  const subject = `function.${kind === "plugin (Go)" ? "go" : "js"}.${name}`
  const reply = await platform.nc.request(subject, JSON.stringify({ specversion: "1.0", datacontenttype: "application/json", ...event }), {
    headers: fields,
    timeout: 10_000,
  })
  if (reply.headers.get("Nats-Service-Error-Code")) throw new Error(`NATS: ${reply.headers.get("Nats-Service-Error")}`)
  return reply.data.length === 0 ? [] : asList(reply.json())
}

function compare(result, event, byClient, other, way) {
  if (!isDeepStrictEqual(byClient, other.map(essence))) mismatch(result, event, `is another by ${way}`)
}

/** What must agree: ids and times are made anew for each call. */
function essence({ type, subject, data }) {
  return { type, subject, data }
}

function asList(value) {
  return Array.isArray(value) ? value : [value]
}

function fail(result, event, why) {
  result.errors++
  mismatch(result, event, why)
}

function mismatch(result, event, why) {
  result.mismatches.push(`${result.name}: the answer to ${event.id} (${event.type}) ${why}`)
}

async function inParallel(items, work) {
  let next = 0
  const worker = async () => {
    while (next < items.length) {
      const at = next++
      await work(items[at], at)
    }
  }
  await Promise.all(Array.from({ length: IN_FLIGHT }, worker))
}
