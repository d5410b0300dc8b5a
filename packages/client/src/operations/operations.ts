import { FnError } from "@fn/core"
import {
  findExecution,
  getDeadLetter,
  listDeadLetters,
  listExecutions,
  purgeDeadLetters,
  type QueueAccess,
  queueStats,
  redriveDeadLetters,
} from "@fn/queue"
import type { OperationsClient } from "./operations-client.js"

/** See {@link OperationsClient}; `checkReady` throws when the client is closed. */
export function createOperations(access: QueueAccess, checkReady: () => void): OperationsClient {
  return {
    executions: {
      async list(filter) {
        checkReady()
        return listExecutions(access, filter)
      },
      async get(id, { namespace = "default" } = {}) {
        checkReady()
        const record = await findExecution(access, namespace, id)
        if (record) return record
        throw FnError.of("EXECUTION_NOT_FOUND", `no execution of invocation ${id} is kept in namespace ${namespace}`)
      },
    },
    deadLetters: {
      async list(options) {
        checkReady()
        return listDeadLetters(access, options)
      },
      async get(seq) {
        checkReady()
        return getDeadLetter(access, seq)
      },
      async redrive(selection, options) {
        checkReady()
        return redriveDeadLetters(access, selection, options)
      },
      async purge(selection, options) {
        checkReady()
        return purgeDeadLetters(access, selection, options)
      },
    },
    queue: {
      async stats(filter) {
        checkReady()
        return queueStats(access, filter)
      },
    },
  }
}
