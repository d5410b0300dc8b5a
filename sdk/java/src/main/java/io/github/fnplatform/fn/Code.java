package io.github.fnplatform.fn;

/** What kind of failure it is: gRPC's sixteen. */
public enum Code {
  CANCELLED,
  UNKNOWN,
  INVALID_ARGUMENT,
  DEADLINE_EXCEEDED,
  NOT_FOUND,
  ALREADY_EXISTS,
  PERMISSION_DENIED,
  RESOURCE_EXHAUSTED,
  FAILED_PRECONDITION,
  ABORTED,
  OUT_OF_RANGE,
  UNIMPLEMENTED,
  INTERNAL,
  UNAVAILABLE,
  DATA_LOSS,
  UNAUTHENTICATED;

  /** The number gRPC has for it. */
  int number() {
    return ordinal() + 1;
  }

  boolean isRetryable() {
    return this == UNAVAILABLE || this == RESOURCE_EXHAUSTED || this == ABORTED;
  }
}
