// The reference: answers each message with its own bytes, as little as a NATS service can do.
import { connectNats } from "@fn/nats"

const nc = await connectNats({ servers: process.argv[2], name: "bench-responder" })
nc.subscribe("bench.echo", { callback: (_error, msg) => msg.respond(msg.data) })
await nc.flush()
process.send?.("ready")
process.on("disconnect", () => process.exit(0))
