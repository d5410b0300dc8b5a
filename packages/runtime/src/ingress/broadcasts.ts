/**
 * Runs events that are meant for every host: `function.broadcast.{namespace}.{name}`, one wildcard subscription without queue group.
 * A host that does not serve the function keeps silent. docs/protocol.md#broadcast
 */
import { FnError, messageOf, newId } from "@fn/core"
import { isReplySubject, rawHeaders } from "@fn/nats"
import type { Msg, Subscription } from "@nats-io/transport-node"
import type { Catalog } from "../catalog/catalog.js"
import { Call } from "../dispatch/call.js"
import type { Dispatcher } from "../dispatch/dispatcher.js"
import type { HostedFunction } from "../dispatch/hosted-function.js"
import { BroadcastResponder } from "../egress/broadcast-responder.js"
import type { EgressOptions, EndpointCounter } from "../egress/responder.js"
import { Request } from "./request.js"
import { timeoutOf } from "./timeout.js"

/** What broadcasts work with. */
export interface BroadcastsOptions extends EgressOptions {
  readonly dispatcher: Dispatcher
  readonly catalog: Catalog
  readonly replyPrefixes: readonly string[]
  readonly counter: (endpoint: string) => EndpointCounter
}

/** See the head of this file. */
export class Broadcasts {
  readonly #options: BroadcastsOptions
  readonly #prefixTokens: number
  #subscription: Subscription | undefined

  constructor(options: BroadcastsOptions) {
    this.#options = options
    this.#prefixTokens = options.subjects.broadcastAll.split(".").length - 1
  }

  /** Takes broadcasts from now on. */
  open(): void {
    const { nc, subjects, logger } = this.#options
    this.#subscription = nc.subscribe(subjects.broadcastAll, {
      callback: (error, msg) => {
        if (error) return logger.error("subscription failed", { subject: subjects.broadcastAll, error: error.message })
        try {
          this.#receive(msg)
        } catch (thrown) {
          logger.warn("broadcast not run", { subject: msg.subject, error: messageOf(thrown) })
        }
      },
    })
  }

  /** Takes no more; those that were delivered are still run. */
  async drain(): Promise<void> {
    const subscription = this.#subscription
    this.#subscription = undefined
    if (subscription && !subscription.isClosed()) await subscription.drain()
  }

  #receive(msg: Msg): void {
    const [namespace, name, ...rest] = msg.subject.split(".").slice(this.#prefixTokens)
    const fn = rest.length === 0 ? this.#options.catalog.served.get(`${namespace}/${name}`) : undefined
    if (!fn) return
    const { reply } = msg
    if (reply && !isReplySubject(reply, this.#options.replyPrefixes))
      throw FnError.of("BAD_REPLY_SUBJECT", `this host does not answer to ${JSON.stringify(reply)}`)
    this.#run(fn, msg, reply)
  }

  #run(fn: HostedFunction, msg: Msg, reply: string | undefined): void {
    const { counter, dispatcher } = this.#options
    const request = new Request(rawHeaders(msg))
    const responder = new BroadcastResponder(this.#options, counter(fn.record.language), reply, request.replyMode)
    const invocationId = request.invocationId ?? newId()
    try {
      // Whoever has read such data deletes it: the other hosts would find nothing.
      if (request.payload) throw FnError.of("INVALID_REQUEST", "an event whose data is stored apart cannot be broadcast")
      const call = new Call({
        invocationId,
        event: request.event(msg.data, msg.subject),
        responder,
        deadline: Date.now() + (request.timeoutMs ?? timeoutOf(fn)),
        version: request.version,
        hops: request.hops,
      })
      dispatcher.dispatch(fn, call)
    } catch (thrown) {
      responder.refuse(invocationId, FnError.from(thrown))
    }
  }
}
