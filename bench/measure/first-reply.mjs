/** Starts of functions that never ran. */
import { processTree, until } from "@fn/testing"
import { checkData, createPayloads } from "./payload.mjs"
import { descendantsCpuUs } from "./usage.mjs"

const TIMEOUT_MS = 60_000
/** Processes that used no CPU for so long have done what they do at their start. */
const QUIET_MS = 200
const payload = createPayloads(256).at(0)

/**
 * Deploys `copy` under a name that nobody has used, calls it once, deletes it, and waits until the host is as it was. Resolves with the time from
 * the call to its reply, ms.
 */
export async function firstReplyMs(platform, copy, name) {
  const { pid } = platform.runtimes[0]
  const processes = processTree(pid).length
  await platform.registry.deploy({ ...copy.manifest, name }, copy.options)
  await quiet(pid)
  const ms = await replyMs(platform, name)
  await platform.registry.deleteFunction({ namespace: "default", name })
  await until(() => processTree(pid).length <= processes, { name: `the instance of ${name} to end`, timeoutMs: TIMEOUT_MS })
  await quiet(pid)
  return ms
}

/**
 * Has the host start its first function of a kind, and resolves with how long that took, ms: it loads what the kind needs and starts what outlives
 * its instances, which is not what later starts cost.
 */
export async function firstEverReplyMs(platform, copy, name) {
  const { pid } = platform.runtimes[0]
  await platform.registry.deploy({ ...copy.manifest, name }, copy.options)
  const ms = await replyMs(platform, name)
  await platform.registry.deleteFunction({ namespace: "default", name })
  let processes = -1
  await until(
    async () => {
      const before = processes
      await quiet(pid)
      processes = processTree(pid).length
      return processes === before
    },
    { name: `the instance of ${name} to end`, timeoutMs: TIMEOUT_MS },
  )
  return ms
}

async function replyMs(platform, name) {
  const startedAt = performance.now()
  const [event] = await platform.client.invoke(name, payload.data, { type: "com.example.asked", timeoutMs: TIMEOUT_MS })
  const ms = performance.now() - startedAt
  checkData(event.data, payload, name)
  return ms
}

/** Resolves when what `pid` has started does nothing: a spare, for one, is ready then. */
export async function quiet(pid) {
  let cpuUs = descendantsCpuUs(pid)
  let since = performance.now()
  await until(
    () => {
      const now = descendantsCpuUs(pid)
      if (now !== cpuUs) since = performance.now()
      cpuUs = now
      return performance.now() - since > QUIET_MS
    },
    { name: "the host's processes to come to rest", timeoutMs: TIMEOUT_MS },
  )
}
