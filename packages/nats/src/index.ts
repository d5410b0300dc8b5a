export type { NatsConnection } from "@nats-io/transport-node"
export { connectNats, resolveNatsOptions } from "./connection/connect.js"
export { loadNatsContext } from "./connection/context.js"
export { fromNatsError } from "./connection/errors.js"
export * from "./connection/options.js"
export { type ConnectionWatch, watchConnection } from "./connection/watch.js"
export { publishLines } from "./inbox/publish-lines.js"
export { isNoResponders, type PublishRawOptions, publishRaw, type RawMsg, rawHeaders } from "./inbox/raw.js"
export * from "./inbox/reply-inbox.js"
export * from "./inbox/reply-subject.js"
export { type ApiError, apiSubject, errorFromApi, isPassing, JsCode } from "./jetstream/api.js"
export * from "./jetstream/delivery.js"
export { type NewestFirstOptions, newestFirst } from "./jetstream/newest-first.js"
export {
  deleteObject,
  findObject,
  readObject,
  type StoredObject,
  type WriteOptions as WriteObjectOptions,
  writeObject,
} from "./jetstream/object.js"
export { type PubAck, type PublishAckedOptions, publishAcked } from "./jetstream/publish.js"
export { type ApiRequestOptions, requestApi } from "./jetstream/request.js"
export { openScan, type Scan, type ScanOptions } from "./jetstream/scan.js"
export * from "./jetstream/stored-message.js"
export { type FindServerOptions, type FoundServer, findNatsServer, type ServerFetch } from "./server/find.js"
export { PINNED_RELEASE, type PinnedRelease } from "./server/release.js"
export { type NatsServer, type StartServerOptions, startNatsServer } from "./server/start.js"
export { MIN_SERVER_VERSION, PINNED_SERVER_VERSION } from "./server/version.js"
export * from "./service/endpoint.js"
export * from "./service/micro-service.js"
