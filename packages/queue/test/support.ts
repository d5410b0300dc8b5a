import { type NatsConnection, ReplyInbox } from "@fn/nats"
import { startTestServer, type TestServer } from "@fn/testing"
import { DiscardPolicy, type JetStreamManager, jetstreamManager } from "@nats-io/jetstream"
import type { QueueAccess } from "../src/access.js"
import { queueNames } from "../src/names.js"
import { payloadBucket, type QueueStreamOptions, queueStreams } from "../src/streams.js"

/** A server with the streams and the payload bucket, and a way in. */
export interface OpenQueue extends AsyncDisposable {
  readonly server: TestServer
  readonly nc: NatsConnection
  readonly jsm: JetStreamManager
  readonly access: QueueAccess
  /** Messages of a stream. */
  messages(stream: string): Promise<number>
  /** Consumers of a stream. */
  consumers(stream: string): Promise<number>
}

/** Settings of {@link openQueue}. */
export interface OpenQueueOptions extends QueueStreamOptions {
  readonly binary: string
  /** Take this one, which then ends with the queue. */
  readonly server?: TestServer
}

/** Starts a server of its own for one test. */
export async function openQueue(options: OpenQueueOptions): Promise<OpenQueue> {
  const server = options.server ?? (await startTestServer({ binary: options.binary }))
  const nc = await server.connect()
  const jsm = await jetstreamManager(nc)
  for (const stream of queueStreams(options)) await jsm.streams.add(stream)
  const { name, maxBytes } = payloadBucket(options)
  // As every client of NATS makes the bucket of an object store.
  await jsm.streams.add({
    name: `OBJ_${name}`,
    subjects: [`$O.${name}.C.>`, `$O.${name}.M.>`],
    allow_rollup_hdrs: true,
    allow_direct: true,
    discard: DiscardPolicy.New,
    max_bytes: maxBytes,
  })
  const inbox = new ReplyInbox(nc)
  const names = queueNames(options.prefix)
  return {
    server,
    nc,
    jsm,
    access: { nc, inbox, names },
    messages: async (stream) => (await jsm.streams.info(stream)).state.messages,
    consumers: async (stream) => (await jsm.streams.info(stream)).state.consumer_count,
    async [Symbol.asyncDispose]() {
      inbox.dispose()
      await server[Symbol.asyncDispose]()
    },
  }
}
