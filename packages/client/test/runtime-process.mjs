// A real host in a process of its own, to be killed. Its builtin `work` writes the event's id into a file, takes its time, and answers;
// `endless` yields as long as somebody listens.
// argv: NATS url, data folder, file.
import { appendFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"
import { connectNats } from "@fn/nats"
import { connectRegistry } from "@fn/registry"
import { startRuntime } from "@fn/runtime"

const [, , url, dataDir, file] = process.argv
const nc = await connectNats({ servers: url })
const work = async (event) => {
  appendFileSync(file, `${event.id}\n`)
  await delay(event.data.ms)
  return { type: "work.done", data: { id: event.id } }
}
const endless = async function* () {
  for (let n = 0; ; n++) yield { type: "tick", data: n }
}
await startRuntime({ nc, registry: await connectRegistry(nc), dataDir, builtins: { work, endless }, limits: { spares: false } })
process.stdout.write("ready\n")
