import { FnError } from "@fn/core"
import { publishAcked } from "@fn/nats"
import type { QueueAccess } from "@fn/queue"
import { callbackLines } from "./callback-message.js"
import type { CallbackSender } from "./callback-sender.js"

/** Stores deliveries in the queue, where {@link import("./callback-handler.js").CallbackHandler} of any host finds them. */
export function createCallbackSender(access: QueueAccess): CallbackSender {
  return {
    send: async (request) => {
      const subject = access.names.subjects.callbackQueue(request.ref.namespace)
      try {
        await publishAcked(access.inbox, subject, { lines: callbackLines(request), data: request.result.data, repeat: true })
      } catch (thrown) {
        const error = FnError.from(thrown)
        if (error.reason !== "STORAGE_FULL") throw error
        throw FnError.of("QUEUE_FULL", `the queue takes no more callbacks of namespace ${request.ref.namespace}: ${error.message}`, {
          cause: error,
        })
      }
    },
  }
}
