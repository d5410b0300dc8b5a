import { REASONS, type Reason } from "./reasons.js"

/** The sixteen codes of gRPC, in our spelling. https://grpc.io/docs/guides/status-codes/ */
export type Code =
  | "cancelled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated"

/** Numbers of each code: gRPC's, and the HTTP status that NATS replies carry too. */
export const CODES: Readonly<Record<Code, { readonly grpc: number; readonly http: number }>> = {
  cancelled: { grpc: 1, http: 499 },
  unknown: { grpc: 2, http: 500 },
  invalid_argument: { grpc: 3, http: 400 },
  deadline_exceeded: { grpc: 4, http: 504 },
  not_found: { grpc: 5, http: 404 },
  already_exists: { grpc: 6, http: 409 },
  permission_denied: { grpc: 7, http: 403 },
  resource_exhausted: { grpc: 8, http: 429 },
  failed_precondition: { grpc: 9, http: 400 },
  aborted: { grpc: 10, http: 409 },
  out_of_range: { grpc: 11, http: 400 },
  unimplemented: { grpc: 12, http: 501 },
  internal: { grpc: 13, http: 500 },
  unavailable: { grpc: 14, http: 503 },
  data_loss: { grpc: 15, http: 500 },
  unauthenticated: { grpc: 16, http: 401 },
}

const RETRYABLE: ReadonlySet<Code> = new Set<Code>(["unavailable", "resource_exhausted", "aborted"])
const MARKER: unique symbol = Symbol.for("@fn/core/FnError") as never

/** What else an {@link FnError} says. */
export interface FnErrorOptions {
  /** Stable UPPER_SNAKE constant that callers may branch on; one of REASONS, or a function's own. */
  reason?: Reason | (string & {})
  /** Machine-readable extras (JSON). They travel to the caller. */
  details?: Readonly<Record<string, unknown>>
  /** The error behind it. Never travels. */
  cause?: unknown
  /** Whether repeating the same call may help. Default: by code (unavailable, resource_exhausted, aborted). */
  retryable?: boolean
  /** Wait this long before repeating, in ms. */
  retryAfterMs?: number
  /** Names this failure in the log of the process that raised it. */
  errorId?: string
}

/** Errors as they travel: in reply headers, frames and JSON bodies. */
export interface FnErrorData {
  code: Code
  reason: string
  message: string
  details?: Readonly<Record<string, unknown>>
  retryable?: boolean
  retryAfterMs?: number
  errorId?: string
}

/** The one error of the platform. `code` is the kind, `reason` the stable constant, `message` for people. Never subclassed. */
export class FnError extends Error {
  override readonly name = "FnError"
  readonly code: Code
  readonly reason: string
  readonly details: Readonly<Record<string, unknown>> | undefined
  readonly retryable: boolean
  readonly retryAfterMs: number | undefined
  readonly errorId: string | undefined

  constructor(code: Code, message: string, options: FnErrorOptions = {}) {
    super(message, "cause" in options ? { cause: options.cause } : undefined)
    this.code = code
    this.reason = options.reason ?? defaultReason(code)
    this.details = options.details
    this.retryable = options.retryable ?? RETRYABLE.has(code)
    this.retryAfterMs = options.retryAfterMs
    this.errorId = options.errorId
    Object.defineProperty(this, MARKER, { value: true })
  }

  /** An FnError whose code is the one its reason belongs to. */
  static of(reason: Reason, message: string, options: Omit<FnErrorOptions, "reason"> = {}): FnError {
    return new FnError(REASONS[reason].code, message, { ...options, reason })
  }

  /** An author's own failure that no retry can mend. Code `failed_precondition`; the queue never retries it. */
  static terminal(reason: string, message: string, details?: Readonly<Record<string, unknown>>): FnError {
    return new FnError("failed_precondition", message, { reason, retryable: false, ...(details ? { details } : {}) })
  }

  /** An author's own failure that is worth repeating after `retryAfterMs`. Code `unavailable`. */
  static retryAfter(retryAfterMs: number, message: string = `retry after ${retryAfterMs} ms`): FnError {
    return new FnError("unavailable", message, { reason: "RETRY_AFTER", retryable: true, retryAfterMs })
  }

  /** Whether `value` is an FnError, from this copy of the package or another. */
  static is(value: unknown): value is FnError {
    return typeof value === "object" && value !== null && (value as Record<symbol, unknown>)[MARKER] === true
  }

  /**
   * Anything thrown, as an FnError: an AbortError becomes `cancelled`, a TimeoutError `deadline_exceeded`, all else `fallback`.
   * The original stays as `cause`.
   */
  static from(thrown: unknown, fallback: Code = "internal", reason?: Reason): FnError {
    if (FnError.is(thrown)) return thrown
    const name = errorName(thrown)
    if (name === "AbortError") return FnError.of("CANCELLED", messageOf(thrown) || "cancelled", { cause: thrown })
    if (name === "TimeoutError") return FnError.of("DEADLINE_EXCEEDED", messageOf(thrown) || "timed out", { cause: thrown })
    return new FnError(fallback, messageOf(thrown), { cause: thrown, ...(reason ? { reason } : {}) })
  }

  /** The error a peer sent. Unknown codes become `unknown`, fields of the wrong type are left out. */
  static fromData(data: FnErrorData): FnError {
    const { details, retryable, retryAfterMs, errorId } = data
    return new FnError(isCode(data.code) ? data.code : "unknown", messageOf(data), {
      ...(typeof data.reason === "string" && data.reason !== "" ? { reason: data.reason } : {}),
      ...(typeof details === "object" && details !== null ? { details } : {}),
      ...(typeof retryable === "boolean" ? { retryable } : {}),
      ...(typeof retryAfterMs === "number" ? { retryAfterMs } : {}),
      ...(typeof errorId === "string" ? { errorId } : {}),
    })
  }

  /** What may travel to a peer: no stack, no cause; details only if they can be written as JSON. */
  toData(): FnErrorData {
    return {
      code: this.code,
      reason: this.reason,
      message: this.message,
      ...(this.details && isJson(this.details) ? { details: this.details } : {}),
      retryable: this.retryable,
      ...(this.retryAfterMs !== undefined ? { retryAfterMs: this.retryAfterMs } : {}),
      ...(this.errorId ? { errorId: this.errorId } : {}),
    }
  }

  toJSON(): FnErrorData {
    return this.toData()
  }
}

/** Whether `value` is one of the sixteen codes. */
export function isCode(value: unknown): value is Code {
  return typeof value === "string" && Object.hasOwn(CODES, value)
}

/** The code that gRPC numbers `grpc`; `unknown` for a number it does not have. */
export function codeFromGrpc(grpc: number): Code {
  for (const code in CODES) if (CODES[code as Code].grpc === grpc) return code as Code
  return "unknown"
}

/**
 * The text of anything thrown. Node's own errors are not always `instanceof Error` (other realms), so by shape.
 * Never throws: an object without prototype, or with a getter that throws, has a text too.
 */
export function messageOf(thrown: unknown): string {
  return textOf(() => (typeof thrown === "object" && thrown !== null && "message" in thrown ? thrown.message : thrown), typeof thrown)
}

function errorName(thrown: unknown): string {
  return textOf(() => (typeof thrown === "object" && thrown !== null && "name" in thrown ? thrown.name : ""), "")
}

function textOf(read: () => unknown, fallback: string): string {
  try {
    return String(read())
  } catch {
    return fallback // it has no text form
  }
}

function isJson(value: unknown): boolean {
  try {
    return JSON.stringify(value) !== undefined
  } catch {
    return false // a cycle or a bigint
  }
}

const DEFAULT_REASONS: Partial<Record<Code, Reason>> = {
  cancelled: "CANCELLED",
  deadline_exceeded: "DEADLINE_EXCEEDED",
  internal: "INTERNAL",
  invalid_argument: "INVALID_REQUEST",
}

function defaultReason(code: Code): string {
  return DEFAULT_REASONS[code] ?? code.toUpperCase()
}
