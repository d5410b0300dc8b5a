import { readFileSync } from "node:fs"
import { createPluginStarter } from "./dist/instances/plugin/plugin-starter.js"
import { noopLogger, newId } from "@fn/core"
const command = process.argv.slice(2)
const fn = { namespace: "default", name: "e", version: "1.0.0", instance: newId() }
const definition = { ...fn, schema: 1, language: "js", runtime: "plugin", command, config: {}, env: {}, timeoutMs: 30000, concurrency: 100, instances: { min: 0, max: 1 }, record: "failures", metadata: {}, deployedBy: "t", deployedAt: "x" }
const i = await createPluginStarter({ logger: noopLogger, startTimeoutMs: 20000 }).start({ fn, definition, logger: noopLogger }, new AbortController().signal)
const cpuOf = (pid) => { const f = readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1].split(" "); return (Number(f[11]) + Number(f[12])) * 10000 }
const data = Buffer.from(JSON.stringify({ a: "x".repeat(230) }))
const type = process.env.TYPE ?? "echo"
const run = (N, c) => new Promise((res, rej) => { let done = 0, next = 0; const one = () => { if (next++ >= N) return; i.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + 30000, event: { attributes: { id: newId(), source: "/b", type, specversion: "1.0", time: "2026-11-20T00:00:00.123Z", datacontenttype: "application/json" }, data } }).then(() => { if (++done === N) res(); else one() }, rej) }; for (let k = 0; k < c; k++) one() })
await run(20000, 64)
for (const c of [64, 1]) {
const N = c === 1 ? 5000 : 40000
const cpu = process.cpuUsage(), child = cpuOf(i.pid), t = performance.now()
await run(N, c)
const d = process.cpuUsage(cpu)
console.log(`c=${c}`, "rate", Math.round(N / (performance.now() - t) * 1000), "host us/call", ((d.user + d.system) / N).toFixed(1), "child us/call", ((cpuOf(i.pid) - child) / N).toFixed(1))
}
await i.close({ graceMs: 2000 })
