/**
 * What an event costs to read and to write: our codec and the CloudEvents SDK, same event, one process, in turn. `node scripts/measure-codec.mjs`.
 * The figures of docs/adr/0003-own-cloudevent-codec.md. Read the ratios: a machine's speed drifts, the two sides of a round drift together.
 */
import { createRequire } from "node:module"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { root } from "./lib/paths.mjs"
import { ensureSetup } from "./setup.mjs"

const ROUNDS = 7
const ROUND_MS = 150

await ensureSetup()
const core = await import(pathToFileURL(join(root, "packages/core/dist/index.js")).href)
const { CloudEvent, HTTP } = createRequire(join(root, "packages/core/package.json"))("cloudevents")

const attributes = {
  id: "A234-1234-1234",
  source: "/measure",
  type: "com.example.measured",
  specversion: "1.0",
  time: "2026-01-01T00:00:00.000Z",
}
const data = { text: "x".repeat(230) }
const wire = core.eventToWire({ ...attributes, data }, { source: "/" })
const json = core.encodeStructured(wire)
const jsonBytes = Buffer.from(json)
const block = core.headerBlock(core.binaryHeaderLines(wire.attributes))
const sdkEvent = new CloudEvent({ ...attributes, datacontenttype: "application/json", data })
const structured = { headers: { "content-type": "application/cloudevents+json" }, body: json }
const binary = HTTP.binary(sdkEvent)

function readBinary() {
  const reader = new core.BinaryEventReader()
  core.readHeaderBlock(block, (name, value) => reader.take(name, value))
  return reader.finish(wire.data)
}

const OPERATIONS = {
  "read, binary": [readBinary, () => HTTP.toEvent(binary)],
  "read, structured": [() => core.decodeStructured(jsonBytes), () => HTTP.toEvent(structured)],
  "write, binary": [() => core.headerBlock(core.binaryHeaderLines(wire.attributes)), () => HTTP.binary(sdkEvent)],
  "write, structured": [() => core.encodeStructured(wire), () => HTTP.structured(sdkEvent)],
  "whole call: read, reply event, write": [
    () =>
      core.binaryHeaderLines(core.eventToWire({ type: "reply", data: core.eventFromWire(readBinary()).data }, { source: "/" }).attributes),
    () => HTTP.binary(new CloudEvent({ type: "reply", source: "/", datacontenttype: "application/json", data: HTTP.toEvent(binary).data })),
  ],
}

process.stdout.write("| operation, 256 B of data | ours, µs | SDK, µs | ratio |\n|---|---:|---:|---:|\n")
for (const [name, [ours, sdk]] of Object.entries(OPERATIONS)) {
  const rounds = Array.from({ length: ROUNDS }, () => [microseconds(ours), microseconds(sdk)])
  const [a, b] = [median(rounds.map(([x]) => x)), median(rounds.map(([, x]) => x))]
  process.stdout.write(`| ${name} | ${a.toFixed(1)} | ${b.toFixed(1)} | ${median(rounds.map(([x, y]) => y / x)).toFixed(0)} |\n`)
}

function microseconds(operation) {
  const end = performance.now() + ROUND_MS
  let count = 0
  const startedAt = performance.now()
  while (performance.now() < end) {
    for (let i = 0; i < 100; i++) operation()
    count += 100
  }
  return ((performance.now() - startedAt) * 1000) / count
}

function median(values) {
  return [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]
}
