import { readFileSync } from "node:fs"
import { setTimeout as delay } from "node:timers/promises"

/** Resolves with what `condition` gives once that is truthy; names what it waited for when it does not come. */
export async function until<T>(
  condition: () => T | Promise<T>,
  { name, timeoutMs = 5_000 }: { name: string; timeoutMs?: number },
): Promise<NonNullable<T>> {
  const end = performance.now() + timeoutMs
  for (;;) {
    const value = await condition()
    if (value) return value
    if (performance.now() > end) throw new Error(`waited ${timeoutMs} ms for: ${name}`)
    await delay(5)
  }
}

/** Whether the process runs; a zombie does not. */
export function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
