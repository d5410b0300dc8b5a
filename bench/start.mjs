/**
 * `node bench/start.mjs [--rounds 40]`: what the start of a child costs, from the call to its first byte, and its end, by level. All rows take
 * turns in every round: a busy machine is slow for each of them. Limits are set and read back in every isolated start.
 */
import { once } from "node:events"
import { parseArgs } from "node:util"
import { startIsolation } from "@fn/isolation"
import { spawnChild } from "@fn/process"

const { values } = parseArgs({ options: { rounds: { type: "string", default: "40" } } })
const isolation = await startIsolation()
const node = await isolation.program(process.execPath)
const limits = { memoryBytes: 256 * 1024 * 1024, pids: 64, cpu: 1 }
const stdio = ["pipe", "pipe", "pipe"]
const shell = { command: "/bin/sh", args: ["-c", "echo up; read -r _"], stdio }
const script = { args: ["-e", "console.log('up'); process.stdin.resume()"], stdio }

const ROWS = {
  "sh, spawned": async () => spawnChild({ ...shell, env: {} }),
  "sh, process": () => isolation.launch({ ...shell, level: "process", limits }),
  "sh, sandbox": () => isolation.launch({ ...shell, level: "sandbox", system: "programs", limits }),
  "node, spawned": async () => spawnChild({ ...script, command: node.hostPath, env: {} }),
  "node, process": () => isolation.launch({ ...script, command: node.hostPath, level: "process", limits }),
  "node, sandbox": () => isolation.launch({ ...script, command: node.path, files: node.files, level: "sandbox", limits }),
}

const times = Object.fromEntries(Object.keys(ROWS).map((name) => [name, { start: [], end: [] }]))
for (let round = 0; round < Number(values.rounds); round++) {
  const names = Object.keys(ROWS)
  for (const name of round % 2 ? names.reverse() : names) await measure(name)
}
print()
await isolation.close()

async function measure(name) {
  const startedAt = performance.now()
  const child = await ROWS[name]()
  await once(child.stdout, "data")
  const upAt = performance.now()
  await child.terminate({ graceMs: 0 })
  times[name].start.push(upAt - startedAt)
  times[name].end.push(performance.now() - upAt)
}

function print() {
  process.stdout.write(`probe of this host: ${isolation.report.durationMs} ms\n\n`)
  process.stdout.write(`| ms | start: median | least | end: median |\n|---|---:|---:|---:|\n`)
  for (const [name, { start, end }] of Object.entries(times)) {
    process.stdout.write(`| ${name} | ${median(start)} | ${Math.min(...start).toFixed(1)} | ${median(end)} |\n`)
  }
}

function median(values) {
  return [...values].sort((a, b) => a - b)[values.length >> 1].toFixed(1)
}
