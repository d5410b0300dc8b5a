import type { FunctionUsage, InstanceStatus } from "@fn/core"
import type { HostedFunction } from "../dispatch/hosted-function.js"

/** What each instance of a function uses now. */
export async function instancesOf(fn: HostedFunction): Promise<InstanceStatus[]> {
  return (await Promise.all(Array.from(fn.versions.values(), ({ pool }) => pool.usage()))).flat()
}

/** What the instances of each version use together, of those that there are or were. */
export async function usageByVersion(functions: Iterable<HostedFunction>): Promise<FunctionUsage[]> {
  const pools = Array.from(functions).flatMap(({ versions }) => Array.from(versions.values(), ({ pool }) => pool))
  return await Promise.all(
    pools.map(async (pool) => {
      const memory = (await pool.usage()).flatMap(({ memoryBytes }) => memoryBytes ?? [])
      return {
        fn: pool.labels,
        instances: pool.instanceCount,
        memoryBytes: memory.length === 0 ? undefined : memory.reduce((sum, bytes) => sum + bytes, 0),
        cpuMs: pool.cpuMs,
      }
    }),
  )
}
