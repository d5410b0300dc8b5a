/** Answers each message with its own bytes, as little as a NATS service can do. */
import { connectNats } from "@fn/nats"
import { programArguments, programReady } from "../measure/program.mjs"

const nc = await connectNats({ servers: programArguments().url, name: "bench-responder" })
nc.subscribe("bench.echo", { callback: (_error, msg) => msg.respond(msg.data) })
await nc.flush()
programReady()
