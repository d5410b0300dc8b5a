import type { FunctionIdentity, FunctionMetrics, HandlerContext, Logger, Span } from "@fn/core"

/** The context of one execution with the checked config and the deps of the instance. The rest is asked of the platform's own, lazily. */
export class AuthorContext implements HandlerContext<unknown, unknown> {
  readonly config: unknown
  readonly deps: unknown
  readonly #ctx: HandlerContext

  constructor(ctx: HandlerContext, config: unknown, deps: unknown) {
    this.#ctx = ctx
    this.config = config
    this.deps = deps
  }

  get signal(): AbortSignal {
    return this.#ctx.signal
  }
  get deadline(): number {
    return this.#ctx.deadline
  }
  get log(): Logger {
    return this.#ctx.log
  }
  get span(): Span {
    return this.#ctx.span
  }
  get metrics(): FunctionMetrics {
    return this.#ctx.metrics
  }
  get attempt(): number {
    return this.#ctx.attempt
  }
  get invocationId(): string {
    return this.#ctx.invocationId
  }
  get fn(): FunctionIdentity {
    return this.#ctx.fn
  }
  get secrets(): Readonly<Record<string, string>> {
    return this.#ctx.secrets
  }
}
