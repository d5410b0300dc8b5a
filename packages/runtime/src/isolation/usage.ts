/** What the processes of functions use: of those under limits what their control group counts, of plain ones what /proc tells. */
import { readProcessUsage, type Usage } from "@fn/isolation"
import type { Child } from "@fn/process"
import { isIsolated } from "./launcher.js"

/** What a child uses now, or used until it ended, as far as that is known. */
export async function usageOf(child: Child): Promise<Usage> {
  if (!isIsolated(child)) return readProcessUsage(child.pid ?? 0)
  if (child.exit === undefined) return await child.usage()
  const end = await child.ended.catch(() => undefined) // something of it is left: whoever closes it hears of that
  return end?.usage ?? (await child.usage())
}

/** What several children use together; undefined for none. What one of them does not tell is left out of the sum. */
export function sumOf(usages: readonly Usage[]): Usage | undefined {
  const [first] = usages
  if (first === undefined) return undefined
  const sum = (name: Exclude<keyof Usage, "source">): number | undefined => {
    const known = usages.flatMap((usage) => usage[name] ?? [])
    return known.length === 0 ? undefined : known.reduce((total, value) => total + value, 0)
  }
  return {
    memoryBytes: sum("memoryBytes"),
    memoryPeakBytes: sum("memoryPeakBytes"),
    cpuUs: sum("cpuUs"),
    pids: sum("pids"),
    throttled: sum("throttled"),
    source: usages.every(({ source }) => source === "group") ? "group" : "process",
  }
}
