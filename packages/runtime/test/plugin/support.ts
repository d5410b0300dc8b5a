/** What the tests of this folder share: a spec, an execution, a logger that remembers. */
import { fileURLToPath } from "node:url"
import { createLogger, FnError, type Logger, newId, type WireEvent } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import type { Execution, InstanceSpec } from "../../src/instances/instance.js"

export interface LogLine {
  readonly level: string
  readonly message: string
  readonly fields: Readonly<Record<string, unknown>>
}

/** A logger and what it was told. */
export function rememberingLogger(): { logger: Logger; lines: LogLine[] } {
  const lines: LogLine[] = []
  return { lines, logger: createLogger((level, message, fields) => lines.push({ level, message, fields })) }
}

export function fixture(name: string): string {
  return fileURLToPath(new URL(`./fixtures/${name}`, import.meta.url))
}

/** A spec of a plugin whose command is `command`. */
export function specOf(
  command: string[],
  overrides: Partial<FunctionDefinition> = {},
  logger: Logger = rememberingLogger().logger,
): InstanceSpec {
  const fn = { namespace: "default", name: "everything", version: "1.2.3", instance: newId() }
  const definition: FunctionDefinition = {
    schema: 1,
    namespace: fn.namespace,
    name: fn.name,
    version: fn.version,
    language: "js",
    runtime: "plugin",
    command,
    config: {},
    env: {},
    timeoutMs: 30_000,
    concurrency: 100,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00.000Z",
    ...overrides,
  }
  return { fn, definition, logger }
}

/** One execution of an event of `type`. */
export function executionOf(type: string, data?: unknown, overrides: Partial<Execution> = {}): Execution {
  return { invocationId: newId(), attempt: 1, deadline: Number.POSITIVE_INFINITY, event: eventOf(type, data), ...overrides }
}

export function eventOf(type: string, data?: unknown): WireEvent {
  const attributes = { id: "e1", source: "/test", type, specversion: "1.0", subject: "s", time: "2026-11-20T00:00:00.123Z" }
  if (data === undefined) return { attributes, data: undefined }
  return { attributes: { ...attributes, datacontenttype: "application/json" }, data: Buffer.from(JSON.stringify(data)) }
}

export function dataOf(event: WireEvent | undefined): unknown {
  return event?.data && JSON.parse(Buffer.from(event.data).toString("utf8"))
}

export async function until(condition: () => boolean, options: { name: string }): Promise<void> {
  const end = Date.now() + 5_000
  while (!condition()) {
    if (Date.now() > end) throw new Error(`waited 5 s for: ${options.name}`)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

/** The FnError that `work` fails with. */
export async function failure(work: Promise<unknown> | unknown): Promise<FnError> {
  try {
    await work
  } catch (thrown) {
    if (FnError.is(thrown)) return thrown
    throw thrown
  }
  throw new Error("it did not fail")
}
