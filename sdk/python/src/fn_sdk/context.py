"""What a handler is told of its call."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from typing import Any, Mapping, Optional

from .errors import Cancelled
from .log import Logger


@dataclass(frozen=True)
class FunctionIdentity:
    """The function as it was deployed, and the process that runs it."""

    namespace: str
    name: str
    version: str
    instance: str


@dataclass(frozen=True)
class Init:
    """What ``setup`` gets."""

    fn: FunctionIdentity
    config: Mapping[str, Any]
    secrets: Mapping[str, str]
    log: Logger


class Context:
    """One execution. ``attempt`` is 1 for the first; ``deadline`` is seconds since the epoch, as ``time.time()`` counts, or None; ``deps`` is
    what ``setup`` returned."""

    def __init__(
        self, *, init: Init, deps: Any, invocation_id: str, attempt: int, metadata: Mapping[str, str], deadline: Optional[float], log: Logger
    ) -> None:
        self.fn = init.fn
        self.config = init.config
        self.secrets = init.secrets
        self.deps = deps
        self.invocation_id = invocation_id
        self.attempt = attempt
        self.metadata = metadata
        self.deadline = deadline
        self.log = log
        self._ended = threading.Event()
        self._reason: Optional[Cancelled] = None

    @property
    def cancelled(self) -> bool:
        """Whether nobody wants the result any more: the caller gave up, or the time is over. An async handler is cancelled as asyncio does."""
        return self._ended.is_set()

    def check(self) -> None:
        """Raises :class:`Cancelled` once nobody wants the result; for long loops of handlers that are not async."""
        if self._reason is not None:
            raise self._reason

    def sleep(self, seconds: float) -> None:
        """Waits like ``time.sleep``, and raises :class:`Cancelled` as soon as nobody wants the result."""
        self._ended.wait(seconds)
        self.check()

    def time_left(self) -> Optional[float]:
        """Seconds until the deadline, at least 0; None without one."""
        return None if self.deadline is None else max(0.0, self.deadline - time.time())

    def _cancel(self, reason: Cancelled) -> None:
        if self._reason is None:
            self._reason = reason
            self._ended.set()
