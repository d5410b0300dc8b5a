import type { FnError, WireEvent } from "@fn/core"
import type { Execution } from "../instance.js"

/** The executions on one plugin, over a stream or one call each. */
export interface PluginCalls {
  execute(execution: Execution): Promise<WireEvent[]>
  /** No further calls; resolves when the plugin has ended those that run. */
  drain(): Promise<void>
  /** The plugin is gone: what runs fails with `error`, and so does what comes. */
  fail(error: FnError): void
}
