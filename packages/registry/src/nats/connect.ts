import { type Logger, noopLogger } from "@fn/core"
import { type NatsConnection, ReplyInbox } from "@fn/nats"
import { jetstream } from "@nats-io/jetstream"
import { setSha256Backend } from "@nats-io/obj"
import type { Registry } from "../registry.js"
import { StoreRegistry } from "../store-registry.js"
import { NatsArtifacts } from "./artifact-store.js"
import { createAwaitServed } from "./await-served.js"
import { KvStore } from "./kv-store.js"
import { checkedNames, checkFunctionsBucket, checkServer, createArtifactsBucket, openJetStream } from "./setup.js"

/** Options of {@link connectRegistry}. */
export interface RegistryOptions {
  /** First token of the platform's subjects and buckets. Default `function`. */
  readonly prefix?: string | undefined
  /** JetStream domain, from a leaf node. */
  readonly jsDomain?: string | undefined
  /** Default: says nothing. */
  readonly logger?: Logger | undefined
  /** Time between two looks for changes that the feed lost, in ms. Default 60 000; each costs one request while nothing changed. */
  readonly rereadMs?: number | undefined
}

const DEFAULT_REREAD_MS = 60_000

/**
 * The registry in NATS. The connection stays the caller's: closing the registry leaves it open.
 * @throws {FnError} NOT_SET_UP where {@link setupPlatform} never ran; JETSTREAM_OFF, SERVER_TOO_OLD, NATS_PERMISSION, REGISTRY_TIMEOUT
 */
export async function connectRegistry(nc: NatsConnection, options: RegistryOptions = {}): Promise<Registry> {
  const names = checkedNames(options.prefix)
  const { jsDomain } = options
  const logger = options.logger ?? noopLogger
  checkServer(nc)
  const access = await openJetStream(nc, jsDomain)
  await checkFunctionsBucket(access, names)
  // The client's own default is a SHA-256 in JavaScript, four times slower.
  setSha256Backend("native")
  const records = await KvStore.open({ nc, names, jsDomain, logger, rereadMs: options.rereadMs ?? DEFAULT_REREAD_MS })
  const inbox = new ReplyInbox(nc, { logger })
  const artifacts = new NatsArtifacts({
    nc,
    inbox,
    jsDomain,
    js: jetstream(nc, jsDomain === undefined ? {} : { domain: jsDomain }),
    bucket: (namespace) => names.artifacts(namespace),
    createBucket: (namespace) => createArtifactsBucket(access, names, namespace),
  })
  return new StoreRegistry({
    records,
    artifacts,
    logger,
    awaitServed: createAwaitServed(nc, options.prefix ?? "function"),
    onClosed: () => inbox.dispose(),
  })
}
