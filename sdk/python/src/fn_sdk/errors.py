"""Failures that a caller can understand."""

from __future__ import annotations

from typing import Any, Mapping, Optional

from . import _wire

_CODES: Mapping[str, int] = {
    "cancelled": 1,
    "unknown": 2,
    "invalid_argument": 3,
    "deadline_exceeded": 4,
    "not_found": 5,
    "already_exists": 6,
    "permission_denied": 7,
    "resource_exhausted": 8,
    "failed_precondition": 9,
    "aborted": 10,
    "out_of_range": 11,
    "unimplemented": 12,
    "internal": 13,
    "unavailable": 14,
    "data_loss": 15,
    "unauthenticated": 16,
}
_RETRYABLE = frozenset({"unavailable", "resource_exhausted", "aborted"})


class FnError(Exception):
    """A failure with all that its caller may know. Any other exception of a handler is one with code ``unknown`` and its text.

    ``code`` is one of gRPC's sixteen, in lower case; ``reason`` a stable UPPER_SNAKE constant that callers may branch on; ``details`` travel
    to the caller as JSON; ``retry_after_s`` asks to wait before the call is repeated.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        reason: str = "",
        details: Optional[Mapping[str, Any]] = None,
        retryable: Optional[bool] = None,
        retry_after_s: Optional[float] = None,
    ) -> None:
        if code not in _CODES:
            raise ValueError(f"{code!r} is none of gRPC's codes, such as not_found")
        super().__init__(message)
        self.code = code
        self.message = message
        self.reason = reason
        self.details = details
        self.retryable = code in _RETRYABLE if retryable is None else retryable
        self.retry_after_s = retry_after_s

    def fill_status(self, status: Any) -> None:
        """Writes the error into a ``fn.plugin.v1.Status``: number and text, and the rest as a Struct in its details."""
        status.code = self.number
        status.message = self.message
        status.retryable = self.retryable
        fields: "dict[str, Any]" = {"retryable": self.retryable}
        if self.reason:
            fields["reason"] = self.reason
        if self.details:
            fields["details"] = dict(self.details)
        if self.retry_after_s is not None:
            fields["retryAfterMs"] = self.retry_after_s * 1000
            _wire.set_duration(status.retry_after, self.retry_after_s)
        struct = _wire.Struct()
        _wire.fill_struct(struct, fields)
        detail = status.details.add()
        detail.type_url = "type.googleapis.com/google.protobuf.Struct"
        detail.value = struct.SerializeToString()

    @property
    def number(self) -> int:
        """The number gRPC has for the code."""
        return _CODES[self.code]


class Cancelled(FnError):
    """What ``Context.check`` and ``Context.sleep`` raise when nobody wants the result any more: let it pass."""


def terminal(reason: str, message: str, details: Optional[Mapping[str, Any]] = None) -> FnError:
    """A failure that no retry can mend: ``raise fn.terminal("CARD_DECLINED", "no money")``."""
    return FnError("failed_precondition", message, reason=reason, details=details, retryable=False)


def retry_after(seconds: float, message: str = "try again later") -> FnError:
    """A failure that is worth repeating after a while."""
    return FnError("unavailable", message, reason="RETRY_AFTER", retryable=True, retry_after_s=seconds)


def invalid_config(pointer: str, message: str) -> FnError:
    """What ``setup`` raises for a wrong configuration; ``pointer`` is the JSON Pointer of the key, such as ``/bank/url``."""
    details = {"issues": [{"pointer": pointer, "message": message}]}
    return FnError("invalid_argument", f"invalid config: {pointer}: {message}", reason="INVALID_CONFIG", details=details)


def invalid_event(why: str, details: Optional[Mapping[str, Any]] = None) -> FnError:
    return FnError("invalid_argument", f"invalid event: {why}", reason="INVALID_EVENT", details=details)


def bad_output(why: str) -> FnError:
    return FnError("failed_precondition", f"the function must return events or nothing, but {why}", reason="BAD_OUTPUT")


def cancelled(why: str) -> Cancelled:
    return Cancelled("cancelled", why, reason="CANCELLED")


def timed_out() -> Cancelled:
    return Cancelled("deadline_exceeded", "the time of this execution is over", reason="FUNCTION_TIMEOUT")


def draining() -> FnError:
    return FnError("unavailable", "this plugin is shutting down", reason="HOST_DRAINING")


def thrown(error: BaseException) -> FnError:
    """What a handler raised, as an error with a code."""
    if isinstance(error, FnError):
        return error
    return FnError("unknown", str(error) or type(error).__name__, reason="FUNCTION_THREW")
