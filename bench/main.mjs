/**
 * `npm run bench`: what a call costs on the full path, as ratios to a raw NATS echo by nats.js `request()` in the same run.
 *
 * All cases take turns in every round, so that what the machine does to one it does to all; a ratio is taken within a round, and the
 * median of the rounds is shown with the range. Every reply is checked.
 */
import { writeFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { closedLoop, median, quantile } from "./load.mjs"
import { hasGo, startPlatform } from "./platform.mjs"
import { cpuUs, rssMb } from "./usage.mjs"

const { values: options } = parseArgs({
  options: {
    only: { type: "string" },
    json: { type: "string" },
    rounds: { type: "string", default: "7" },
    "round-ms": { type: "string", default: "1000" },
  },
})
const REFERENCE = "raw-echo"
const DATA = { text: "x".repeat(230), n: 1 }
const PAYLOAD = JSON.stringify(DATA)

const platform = await startPlatform()
try {
  const cases = selectCases()
  for (const { name, call } of cases) await prove(name, call)
  const results = []
  for (const inFlight of [64, 1]) results.push(...(await measure(cases, inFlight)))
  print(results)
  if (options.json) writeFileSync(options.json, `${JSON.stringify(results, null, 2)}\n`)
} finally {
  await platform.stop()
  await platform.plain.close()
}

function selectCases() {
  const all = [
    { name: REFERENCE, call: rawEcho },
    { name: "builtin", call: invoke("echo-builtin") },
    { name: "module", folder: "echo-module", call: invoke("echo-module") },
    { name: "plugin-ts-stream", folder: "echo-plugin-ts", call: invoke("echo-plugin-ts") },
    {
      name: "plugin-go-stream",
      folder: "echo-plugin-go",
      call: invoke("echo-plugin-go"),
      skip: hasGo() ? undefined : "there is no go on PATH",
    },
  ]
  const wanted = all.filter(({ name }) => name === REFERENCE || !options.only || name === options.only)
  for (const { name, skip } of wanted) if (skip) console.error(`SKIPPED: ${name}: ${skip}`)
  const cases = wanted.filter(({ skip }) => !skip)
  for (const { folder } of cases) if (folder) platform.deploy(folder)
  return cases
}

async function rawEcho() {
  const reply = await platform.plain.request("bench.echo", PAYLOAD, { timeout: 10_000 })
  if (reply.data.length !== PAYLOAD.length) throw new Error("the raw echo came back changed")
}

function invoke(name) {
  return async () => {
    const [event] = await platform.client.invoke(name, { type: "com.example.asked", data: DATA }, { timeoutMs: 10_000 })
    if (event.type !== "com.example.echoed" || event.data.text !== DATA.text) throw new Error(`${name} answered something else`)
  }
}

/** Starts the instance and lets the compilers settle. */
async function prove(name, call) {
  await call()
  await closedLoop(call, { inFlight: 64, durationMs: 500 })
  console.error(`warm: ${name}`)
}

async function measure(cases, inFlight) {
  const rounds = Number(options.rounds)
  const samples = new Map(cases.map(({ name }) => [name, []]))
  for (let round = 0; round < rounds; round++) {
    // Forwards, then backwards: a machine that grows slower in a round is unfair to the last one only half of the time.
    for (const { name, call } of round % 2 === 0 ? cases : [...cases].reverse()) {
      const before = usage()
      const run = await closedLoop(call, { inFlight, durationMs: Number(options["round-ms"]) })
      const after = usage()
      const cpu = Object.fromEntries(Object.keys(before).map((key) => [key, (after[key] - before[key]) / run.calls]))
      samples.get(name).push({ ...run, p50: quantile(run.latencies, 0.5), p99: quantile(run.latencies, 0.99), cpu })
    }
    console.error(`round ${round + 1} of ${rounds}, ${inFlight} in flight`)
  }
  return cases.map(({ name }) => summarise(name, inFlight, samples))
}

function summarise(name, inFlight, samples) {
  const own = samples.get(name)
  const ratios = own.map(({ perSecond }, round) => perSecond / samples.get(REFERENCE)[round].perSecond)
  return {
    name: inFlight === 64 ? name : `${name}-p50`,
    // At one in flight the question is latency: p50 over the reference's p50.
    ratio: inFlight === 64 ? median(ratios) : median(own.map(({ p50 }, round) => p50 / samples.get(REFERENCE)[round].p50)),
    range: [Math.min(...ratios), Math.max(...ratios)],
    reference: REFERENCE,
    inFlight,
    throughput: Math.round(median(own.map(({ perSecond }) => perSecond))),
    p50us: Math.round(median(own.map(({ p50 }) => p50))),
    p99us: Math.round(median(own.map(({ p99 }) => p99))),
    cpuUsPerCall: Object.fromEntries(
      Object.keys(platform.pids).map((key) => [key, Number(median(own.map(({ cpu }) => cpu[key])).toFixed(1))]),
    ),
    rssMb: Object.fromEntries(Object.entries(platform.pids).map(([key, pid]) => [key, Math.round(rssMb(pid))])),
    policy: "dev, process",
    durability: "none (sync)",
  }
}

function usage() {
  return Object.fromEntries(Object.entries(platform.pids).map(([key, pid]) => [key, cpuUs(pid)]))
}

function print(results) {
  console.log(
    `\nnats-server ${platform.natsVersion}, Node ${process.version}, 256 B of JSON data, full path with CloudEvents, default settings\n`,
  )
  console.log(
    `${"name".padEnd(22)}${"in flight".padStart(10)}${"calls/s".padStart(10)}${"ratio".padStart(8)}${"range".padStart(14)}${"p50 µs".padStart(9)}${"p99 µs".padStart(9)}   CPU µs a call: client / nats / runtime`,
  )
  for (const { name, inFlight, throughput, ratio, range, p50us, p99us, cpuUsPerCall: cpu } of results) {
    const spread = inFlight === 64 ? `${range[0].toFixed(2)}–${range[1].toFixed(2)}` : ""
    console.log(
      `${name.padEnd(22)}${String(inFlight).padStart(10)}${String(throughput).padStart(10)}${ratio.toFixed(2).padStart(8)}${spread.padStart(14)}${String(p50us).padStart(9)}${String(p99us).padStart(9)}   ${cpu.client} / ${cpu.nats} / ${name.startsWith(REFERENCE) ? cpu.responder : cpu.runtime}`,
    )
  }
  console.log(
    `\nratio: throughput ÷ ${REFERENCE}'s in the same round (median); with one in flight p50 ÷ its p50. One call at a time measures latency.`,
  )
}
