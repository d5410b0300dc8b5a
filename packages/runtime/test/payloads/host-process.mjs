// A host in a process of its own, whose memory can be measured. argv: NATS url, data folder.
import { connectNats } from "@fn/nats"
import { connectRegistry } from "@fn/registry"
import { startRuntime } from "../../dist/index.js"

const [, , url, dataDir] = process.argv
const nc = await connectNats({ servers: url })
const copy = (event) => ({ type: "copy", datacontenttype: event.datacontenttype, data: event.data })
await startRuntime({ nc, registry: await connectRegistry(nc), dataDir, builtins: { copy }, limits: { spares: false } })
process.stdout.write("ready\n")
