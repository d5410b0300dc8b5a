import type { NatsConnection, ReplyInbox } from "@fn/nats"
import type { QueueNames } from "./names.js"

/** What reading and writing the streams goes through. All of it is the caller's and stays open. */
export interface QueueAccess {
  readonly nc: NatsConnection
  readonly inbox: ReplyInbox
  readonly names: QueueNames
  /** JetStream domain, from a leaf node. */
  readonly jsDomain?: string | undefined
}
