import { FnError, messageOf } from "@fn/core"
import { errors } from "@nats-io/transport-node"

/**
 * Anything the NATS client throws, as an FnError that says what was attempted.
 *
 * Permission, credentials, size and lost connections have reasons of their own; a time-out becomes `deadline_exceeded`, the rest
 * `unavailable`, since what NATS itself reports is nearly always about its being reachable.
 */
export function fromNatsError(thrown: unknown, attempted: string): FnError {
  if (FnError.is(thrown)) return thrown
  const cause = causeOf(thrown)
  const message = `${attempted}: ${messageOf(cause)}`
  if (cause instanceof errors.PermissionViolationError) return FnError.of("NATS_PERMISSION", message, { cause: thrown })
  if (cause instanceof errors.AuthorizationError || cause instanceof errors.UserAuthenticationExpiredError)
    return FnError.of("NATS_AUTH", message, { cause: thrown })
  if (cause instanceof errors.TimeoutError) return FnError.of("DEADLINE_EXCEEDED", message, { cause: thrown })
  if (cause instanceof errors.NoRespondersError) return new FnError("unavailable", `${attempted}: nobody answers there`, { cause: thrown })
  if (cause instanceof errors.InvalidSubjectError) return new FnError("invalid_argument", message, { cause: thrown })
  if (cause instanceof errors.InvalidArgumentError) {
    const reason = cause.message.includes("max_payload") ? "PAYLOAD_TOO_LARGE" : "INVALID_REQUEST"
    return FnError.of(reason, message, { cause: thrown })
  }
  if (cause instanceof errors.ClosedConnectionError || cause instanceof errors.DrainingConnectionError || isFlushCut(cause))
    return FnError.of("DISCONNECTED", message, { cause: thrown })
  return FnError.from(thrown, "unavailable")
}

/** Why the first connection could not be made. */
export function connectError(thrown: unknown, servers: readonly string[]): FnError {
  if (FnError.is(thrown)) return thrown
  const where = servers.join(", ")
  if (thrown instanceof errors.AuthorizationError || thrown instanceof errors.UserAuthenticationExpiredError)
    return FnError.of("NATS_AUTH", `NATS at ${where} refuses these credentials: ${messageOf(thrown)}`, { cause: thrown })
  return FnError.of("NATS_UNREACHABLE", `cannot reach NATS at ${where}: ${messageOf(thrown) || "no answer"}`, { cause: thrown })
}

/** What the client rejects a `flush()` with when the connection goes meanwhile. */
function isFlushCut(thrown: unknown): boolean {
  return thrown instanceof errors.RequestError && thrown.message === "connection disconnected"
}

function causeOf(thrown: unknown): unknown {
  return thrown instanceof errors.RequestError && thrown.cause !== undefined ? thrown.cause : thrown
}
