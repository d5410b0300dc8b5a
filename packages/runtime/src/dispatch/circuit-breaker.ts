/**
 * Whether a version works on this host at all.
 *
 * Phases: closed (calls come) → open, after so many failures in a row (no calls: other hosts may have more luck) → half-open, after a
 * back-off (calls come again: the first that succeeds closes it, the first failure opens it for twice as long). What counts as a failure
 * is the caller's to say: that instances do not start or die, never what a function's own code threw. docs/architecture.md
 */
import { FnError, type FunctionStatus } from "@fn/core"

/** When a version is given a rest. */
export interface CircuitOptions {
  /** So many failures in a row open it; 0 for never. */
  readonly failures: number
  /** First rest, ms; doubled each time, up to `maxMs`, give or take a quarter. */
  readonly initialMs: number
  readonly maxMs: number
}

/** Failures of an execution that say nothing for the version. Any other came out of the function, so the function runs. */
const NO_SIGN_OF_LIFE: ReadonlySet<string> = new Set([
  "FUNCTION_CRASHED",
  "FUNCTION_TIMEOUT",
  "PLUGIN_EXITED",
  "PLUGIN_PROTOCOL",
  "MEMORY_LIMIT",
  "HOST_DRAINING",
  "DISCONNECTED",
  "CANCELLED",
])

/** Whether an execution that failed so shows that the version works here. */
export function showsLife(error: FnError): boolean {
  return !NO_SIGN_OF_LIFE.has(error.reason)
}

/** One version's breaker. Costs a working version one comparison a call. */
export class CircuitBreaker {
  #phase: "closed" | "open" | "half-open" = "closed"
  readonly #options: CircuitOptions
  readonly #onChange: (breaker: CircuitBreaker) => void
  #failures = 0
  #rests = 0
  #last: FnError | undefined
  #retryAt = 0
  #timer: NodeJS.Timeout | undefined
  #over = false

  /** `onChange` hears of every change of phase, after it. Must not throw. */
  constructor(options: CircuitOptions, onChange: (breaker: CircuitBreaker) => void) {
    this.#options = options
    this.#onChange = onChange
  }

  get phase(): "closed" | "open" | "half-open" {
    return this.#phase
  }

  /** Whether calls are kept away from it. */
  get isOpen(): boolean {
    return this.#phase === "open"
  }

  /** The failure it opened for, or the last one it saw. */
  get lastFailure(): FnError | undefined {
    return this.#last
  }

  /** Its part of the function's status; undefined while closed. */
  status(): FunctionStatus["circuit"] {
    if (this.#phase === "closed" || !this.#last) return undefined
    return { phase: this.#phase, retryAt: new Date(this.#retryAt).toISOString(), error: this.#last.toData() }
  }

  /** The answer to a call that comes while it is open. */
  refusal(key: string): FnError {
    const waitMs = Math.max(0, this.#retryAt - Date.now())
    const why = this.#last ? `${this.#last.reason}: ${this.#last.message}` : "it failed"
    return FnError.of("CIRCUIT_OPEN", `${key} does not work on this host, which tries it again in ${Math.ceil(waitMs / 1_000)} s: ${why}`, {
      retryAfterMs: waitMs,
    })
  }

  /** A call succeeded. One that was running when it opened says nothing of those that come. */
  succeeded(): void {
    if (this.#failures === 0 || this.#phase === "open") return
    this.#failures = 0
    this.#rests = 0
    if (this.#phase === "half-open") this.#enter("closed")
  }

  /** The version failed in a way that says it does not work here. */
  failed(error: FnError): void {
    if (this.#phase === "open" || this.#over) return
    this.#failures++
    this.#last = error
    const { failures } = this.#options
    if (failures > 0 && (this.#phase === "half-open" || this.#failures >= failures)) this.#open()
  }

  /** No more changes: the version is retired, or the host ends. */
  close(): void {
    this.#over = true
    clearTimeout(this.#timer)
  }

  #open(): void {
    const { initialMs, maxMs } = this.#options
    const restMs = Math.min(maxMs, initialMs * 2 ** this.#rests) * (0.75 + Math.random() / 2)
    this.#rests++
    this.#retryAt = Date.now() + restMs
    this.#timer = setTimeout(() => this.#enter("half-open"), restMs)
    this.#enter("open")
  }

  #enter(phase: "closed" | "open" | "half-open"): void {
    this.#phase = phase
    this.#onChange(this)
  }
}
