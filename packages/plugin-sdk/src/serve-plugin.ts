import { asFunctionModule, FnError, type FunctionModule, type Handler, type Logger } from "@fn/core"
import type { ServeTestOptions } from "@fn/go-plugin"

/** How a plugin presents itself. */
export interface ServePluginOptions {
  /** Default: the name given to defineFunction, else `function`. */
  readonly name?: string
  /** Semantic version for hosts that ask; ours knows it from the deploy. Default 0.0.0. */
  readonly version?: string
  readonly description?: string
  /** Log of the process. Default: hclog lines on stderr, as go-plugin hosts read them. */
  readonly logger?: Logger
  /** Serve without a host, for tests and debuggers: go-plugin's test mode. */
  readonly test?: ServeTestOptions
}

/**
 * Makes this process a go-plugin plugin that serves `fn`, for this platform or any Go program built with hashicorp/go-plugin.
 *
 * Call it once, last, in the program's main file. It ends the process when the host says so; a program started by hand is told what it is.
 * gRPC is loaded here and not before: a function that runs as a module never pays for it.
 * @throws {FnError} failed_precondition LOAD_FAILED when `fn` is no function
 */
export async function servePlugin(fn: FunctionModule | Handler, options: ServePluginOptions = {}): Promise<void> {
  const module = asFunctionModule(fn)
  if (!module) throw FnError.of("LOAD_FAILED", "servePlugin needs defineFunction(...) or a handler")
  const { serveFunction } = await import("./plugin/serve.js")
  await serveFunction(module, options)
}
