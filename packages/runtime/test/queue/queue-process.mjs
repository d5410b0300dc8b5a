// A host in a process of its own, to be killed. Its builtin `work` writes the attempt and its process id into a file, and ends when it is
// the second attempt or later; the first never does.
// argv: NATS url, data folder, file.
import { appendFileSync } from "node:fs"
import { connectNats } from "@fn/nats"
import { connectRegistry } from "@fn/registry"
import { startRuntime } from "../../dist/index.js"

const [, , url, dataDir, file] = process.argv
const nc = await connectNats({ servers: url })
const work = async (_event, ctx) => {
  appendFileSync(file, `${ctx.attempt} ${process.pid}\n`)
  if (ctx.attempt === 1) await new Promise(() => undefined)
  return { type: "ok", data: ctx.attempt }
}
await startRuntime({ nc, registry: await connectRegistry(nc), dataDir, builtins: { work }, limits: { spares: false } })
process.stdout.write("ready\n")
