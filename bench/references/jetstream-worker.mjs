/** Consumes a work queue, answers each message where its subject says, and acknowledges it. */
import { jetstream, jetstreamManager } from "@nats-io/jetstream"
import { connect } from "@nats-io/transport-node"
import { programArguments, programReady } from "../measure/program.mjs"

const STREAM = "BENCH"
const nc = await connect({ servers: programArguments().url })
const manager = await jetstreamManager(nc)
await manager.streams.add({ name: STREAM, subjects: ["bench.queue.*"], retention: "workqueue", storage: "file" })
await manager.consumers.add(STREAM, { durable_name: "worker", ack_policy: "explicit" })
const consumer = await jetstream(nc).consumers.get(STREAM, "worker")
await consumer.consume({
  max_messages: 1000,
  callback: (msg) => {
    nc.publish(`bench.result.${msg.subject.slice("bench.queue.".length)}`, msg.data)
    msg.ack()
  },
})
programReady()
