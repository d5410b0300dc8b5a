// A host in a process of its own, to be killed: takes calls of function.js.slow and never answers them.
// argv: NATS url, host id, and "starts" (says so after 100 ms, as hosts do) or "mute" (is killed before it could).
import { Header, headerBlock, headerLine } from "@fn/core"
import { connectNats, publishRaw, startMicroService } from "@fn/nats"

const [, , url, host, mode] = process.argv
const nc = await connectNats({ servers: url })
const running = new Set()
const status = (msg) => {
  const { invocationId } = msg.json()
  process.stdout.write("question\n")
  msg.respond(JSON.stringify({ host, phase: "ready", functions: [], runningInvocation: running.has(invocationId) }))
}
await startMicroService(nc, {
  name: "fn-runtime",
  id: host,
  version: "0.1.0",
  endpoints: [{ name: "status", subject: `function.status.${host}`, queueGroup: "", handler: status }],
})
nc.subscribe("function.js.slow", {
  queue: "function.js",
  callback: (_error, msg) => {
    const { reply, headers } = msg
    running.add(headers.get(Header.invocationId))
    process.stdout.write("call\n")
    if (mode === "starts") setTimeout(() => publishRaw(nc, reply, "", { headerBlock: headerBlock(headerLine(Header.started, host)) }), 100)
  },
})
await nc.flush()
process.stdout.write("ready\n")
