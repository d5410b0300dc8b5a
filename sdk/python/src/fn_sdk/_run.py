"""Runs a handler for one event, whatever kind of function it is, and hands on its events one by one.

Async handlers and async generators run on the event loop; everything else in a thread, so that it may block. Cancelling an async handler
cancels its task. A thread cannot be ended from outside: its context says that it should, and the call ends when it does.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
import traceback
from concurrent.futures import ThreadPoolExecutor
from typing import Any, AsyncIterator, Awaitable, Callable, Iterator, List, Optional, TypeVar

from . import _wire
from .context import Context, Init
from .errors import Cancelled, FnError, bad_output, thrown, timed_out
from .event import Event, event_from_proto, event_to_proto
from .function import Function, matches
from .log import Logger, current_log

Result = TypeVar("Result")
SendEvent = Callable[[Any], Awaitable[None]]
"""Takes one event of a call that streams, and returns when the next one is wanted."""

_MAX_KEPT = 100_000
_END = object()


class Execution:
    """One call: started, perhaps cancelled, over."""

    def __init__(self, runner: "Runner", sent: Any, call: Any, *, timeout: Optional[float], log: Logger, send: Optional[SendEvent]) -> None:
        self._runner = runner
        self._sent = sent
        self._log = log
        self._send = send
        self._timeout = timeout
        self.context = Context(
            init=runner.init,
            deps=runner.deps,
            invocation_id=call.invocation_id,
            attempt=call.attempt or 1,
            metadata=dict(call.metadata),
            deadline=None if timeout is None else time.time() + timeout,
            log=log,
        )
        self._task: "Optional[asyncio.Task[None]]" = None
        # A task that has not begun would end without a word, and one that waits for a thread would leave the thread behind.
        self._interruptible = False
        self._kept: "List[Any]" = []

    def start(self, done: "Callable[[List[Any], Optional[FnError]], None]") -> None:
        """Runs it; ``done`` gets the events that were not sent yet, or why it failed. Never at once: always on a later turn of the loop."""
        self._task = asyncio.get_running_loop().create_task(self._run(done))

    def cancel(self, reason: Cancelled) -> None:
        """Asks the handler to end."""
        if self.context.cancelled:
            return
        self.context._cancel(reason)
        if self._task is not None and self._interruptible:
            self._task.cancel()

    async def _run(self, done: "Callable[[List[Any], Optional[FnError]], None]") -> None:
        timer = None
        if self._timeout is not None:
            timer = asyncio.get_running_loop().call_later(self._timeout, self.cancel, timed_out())
        current_log.set(self._log)
        failure: Optional[FnError] = None
        try:
            self.context.check()
            self._interruptible = True
            await self._handle()
        except asyncio.CancelledError:
            failure = self.context._reason or Cancelled("cancelled", "the function cancelled itself", reason="CANCELLED")
        except FnError as error:
            failure = error
        except Exception as error:
            # What it makes of being cancelled, whichever way it says so.
            failure = self.context._reason or thrown(error)
            if self.context._reason is None:
                self._log.error("the function raised", traceback="".join(traceback.format_exception(type(error), error, error.__traceback__)))
        finally:
            self._interruptible = False
            if timer is not None:
                timer.cancel()
        done([] if failure else self._kept, failure)

    async def _handle(self) -> None:
        event = event_from_proto(self._sent)
        function = self._runner.function
        if not matches(function.accepts, event.type):
            details = {"type": event.type, "accepts": list(function.accepts)}
            message = f"function {function.name} does not take {event.type}"
            raise FnError("invalid_argument", message, reason="TYPE_NOT_ACCEPTED", details=details)
        if self._runner.is_async:
            output: Any = function.handler(event, self.context)
        else:
            output = await self._in_thread(lambda: self._call(event))
        if inspect.isawaitable(output):
            output = await output
        if output is None:
            return
        if isinstance(output, Event):
            await self._emit(output)
        elif hasattr(output, "__anext__"):
            await self._drain(output)
        elif hasattr(output, "__next__"):
            await self._drain(self._step(output))
        elif isinstance(output, (list, tuple)):
            for item in output:
                await self._emit(item)
        else:
            raise bad_output(f"it returned {type(output).__name__}")

    def _call(self, event: Event) -> Any:
        self.context.check()  # it may have waited for its thread
        return self._runner.function.handler(event, self.context)

    async def _drain(self, events: "AsyncIterator[Event]") -> None:
        try:
            async for event in events:
                await self._emit(event)
        finally:
            close = getattr(events, "aclose", None)
            if close is not None:
                await close()

    async def _step(self, events: "Iterator[Event]") -> "AsyncIterator[Event]":
        """A generator that is not async: each step in a thread."""
        try:
            while True:
                self.context.check()
                event = await self._in_thread(lambda: next(events, _END))
                if event is _END:
                    return
                yield event  # type: ignore[misc]
        finally:
            close = getattr(events, "close", None)
            if close is not None:
                await self._in_thread(close)

    async def _in_thread(self, work: "Callable[[], Result]") -> "Result":
        context = contextvars.copy_context()
        self._interruptible = False
        try:
            return await asyncio.get_running_loop().run_in_executor(self._runner.threads, lambda: context.run(work))
        finally:
            self._interruptible = True

    async def _emit(self, event: Any) -> None:
        function = self._runner.function
        encoded = _wire.CloudEvent()
        event_to_proto(event, self._runner.source, encoded)
        if not matches(function.emits, encoded.type):
            details = {"type": encoded.type, "emits": list(function.emits)}
            message = f"function {function.name} emitted {encoded.type}, which it does not declare"
            raise FnError("failed_precondition", message, reason="TYPE_NOT_EMITTED", details=details)
        if self._send is None:
            if len(self._kept) == _MAX_KEPT:
                message = "the function yields too many events for one answer: take them as a stream"
                raise FnError("resource_exhausted", message, reason="OUTPUT_LIMIT", retryable=False)
            self._kept.append(encoded)
            return
        await self._send(encoded)
        # What came while a thread ran could not interrupt it.
        self.context.check()


class Runner:
    """The function after its setup."""

    def __init__(self, function: Function, init: Init, deps: Any, threads: ThreadPoolExecutor) -> None:
        self.function = function
        self.init = init
        self.deps = deps
        self.threads = threads
        self.source = f"/functions/{init.fn.namespace}/{init.fn.name}"
        call = getattr(function.handler, "__call__", function.handler)
        self.is_async = any(
            check(candidate)
            for check in (inspect.iscoroutinefunction, inspect.isasyncgenfunction)
            for candidate in (function.handler, call)
        )
