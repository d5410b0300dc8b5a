"""One ExecuteStream: many calls on one HTTP/2 stream, the frames of a turn of the loop in one message.

Exactly one result ends each call. Frames about calls that are over are ignored, as are frames of a newer protocol.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from typing import Any, AsyncIterator, Deque, Dict, List, Mapping, Optional

import grpc

from . import _wire
from ._run import Execution, SendEvent
from .errors import Cancelled, FnError, cancelled, draining, timed_out
from .log import Logger

_BATCH_FRAMES = 64
_BATCH_BYTES = 64 * 1024


class Outbox:
    """Gathers frames into as few envelopes as they fit in: that is where the throughput is."""

    def __init__(self, context: Any) -> None:
        self._context = context
        self._queue: "Deque[Any]" = deque()
        self._filled = asyncio.Event()
        self._closed = False

    def add(self, frame: Any) -> None:
        self._queue.append(frame)
        self._filled.set()

    def close(self) -> None:
        """Lets :meth:`write` end when all is sent."""
        self._closed = True
        self._filled.set()

    async def write(self) -> None:
        while True:
            await self._filled.wait()
            # Whatever can end in this turn of the loop goes along.
            await asyncio.sleep(0)
            self._filled.clear()
            while self._queue:
                await self._context.write(self._take())
            if self._closed:
                return

    def _take(self) -> Any:
        envelope = _wire.PluginEnvelope()
        size = 0
        while self._queue and len(envelope.frames) < _BATCH_FRAMES:
            size += self._queue[0].ByteSize()
            if size > _BATCH_BYTES and envelope.frames:
                break
            envelope.frames.append(self._queue.popleft())
        return envelope


class OutputWindow:
    """What a call that streams may still send."""

    def __init__(self, credit: int) -> None:
        self._left = credit
        self._more = asyncio.Event()

    def grant(self, count: int) -> None:
        self._left += count
        self._more.set()

    async def spend(self) -> None:
        """Counts an event that was sent, and returns when the next one may be."""
        self._left -= 1
        while self._left <= 0:
            self._more.clear()
            await self._more.wait()


class _Call:
    def __init__(self, window: Optional[OutputWindow]) -> None:
        self.window = window
        self.execution: Optional[Execution] = None


class Stream:
    """Serves one stream until it ends."""

    def __init__(self, server: Any, context: Any) -> None:
        self._server = server
        self._context = context
        self._loop = asyncio.get_running_loop()
        self._outbox = Outbox(context)
        self._requests = self._messages()
        self._open: "Dict[int, _Call]" = {}
        self._thread = threading.get_ident()
        self._idle = asyncio.Event()
        self._idle.set()
        self._floor = 0
        self._draining = False
        self._completed = 0

    async def serve(self) -> None:
        await self._accept()
        writing = self._loop.create_task(self._outbox.write())
        try:
            async for envelope in self._requests:
                for frame in envelope.frames:
                    self._receive(frame)
            # Half-closed: the host sends no more, and waits for what runs.
            await self._idle.wait()
            self._outbox.close()
            await writing
        finally:
            gone = cancelled("the host is gone")
            for call in list(self._open.values()):
                if call.execution is not None:
                    call.execution.cancel(gone)
            writing.cancel()

    async def _accept(self) -> None:
        envelope = await self._requests.__anext__()
        if not envelope.frames or envelope.frames[0].WhichOneof("frame") != "open":
            raise FnError("failed_precondition", "the first frame of an ExecuteStream must be open")
        self._floor = envelope.frames[0].open.log_level
        accepted = _wire.PluginFrame()
        accepted.accepted.call_credit = self._server.call_credit
        self._outbox.add(accepted)
        for frame in envelope.frames[1:]:
            self._receive(frame)

    async def _messages(self) -> "AsyncIterator[Any]":
        while True:
            message = await self._context.read()
            if message is grpc.aio.EOF:
                return
            yield message

    def _receive(self, frame: Any) -> None:
        kind = frame.WhichOneof("frame")
        if kind == "start":
            self._start(frame.call_id, frame.start)
        elif kind == "cancel":
            call = self._open.get(frame.call_id)
            if call is not None and call.execution is not None:
                call.execution.cancel(_reason(frame.cancel.reason))
        elif kind == "credit":
            # That of the whole stream is for plugins that send output unasked.
            call = self._open.get(frame.call_id)
            if call is not None and call.window is not None:
                call.window.grant(frame.credit.output_events)
        elif kind == "drain":
            self._draining = True
            self._settle()

    def _start(self, call_id: int, start: Any) -> None:
        if call_id == 0 or call_id in self._open:
            return
        refusal = self._refusal()
        if refusal is not None:
            return self._send_result(call_id, [], refusal)
        window = OutputWindow(start.output_window) if start.output_window > 0 else None
        call = _Call(window)
        self._open[call_id] = call
        self._idle.clear()
        call.execution = self._server.execute(
            start.event,
            start.context,
            timeout=_wire.seconds_of(start.timeout) if start.HasField("timeout") else None,
            log=self._logger(call_id, start.context.invocation_id),
            send=self._sender(call_id, window),
            done=lambda events, failure: self._end(call_id, events, failure),
        )

    def _refusal(self) -> Optional[FnError]:
        if self._draining or self._server.draining:
            return draining()
        if len(self._open) >= self._server.call_credit:
            return FnError("resource_exhausted", "more calls at once than credit was given for", reason="QUEUE_FULL")
        return None

    def _sender(self, call_id: int, window: Optional[OutputWindow]) -> Optional[SendEvent]:
        if window is None:
            return None

        async def send(event: Any) -> None:
            frame = _wire.PluginFrame(call_id=call_id)
            frame.output.events.append(event)
            self._outbox.add(frame)
            await window.spend()

        return send

    def _end(self, call_id: int, events: "List[Any]", failure: Optional[FnError]) -> None:
        del self._open[call_id]
        self._completed += 1
        self._send_result(call_id, events, failure)
        self._settle()

    def _send_result(self, call_id: int, events: "List[Any]", failure: Optional[FnError]) -> None:
        frame = _wire.PluginFrame(call_id=call_id)
        if failure is not None:
            failure.fill_status(frame.result.status)
        else:
            frame.result.SetInParent()
            frame.result.events.extend(events)
        self._outbox.add(frame)

    def _settle(self) -> None:
        if self._open:
            return
        self._idle.set()
        if self._draining:
            frame = _wire.PluginFrame()
            frame.drained.calls_completed = self._completed
            self._outbox.add(frame)

    def _logger(self, call_id: int, invocation_id: str) -> Logger:
        """Its lines go with their call; those that come after its end, to the log of the process."""

        def send(level: str, message: str, fields: "Mapping[str, Any]") -> None:
            if call_id not in self._open:
                self._server.log.child(invocationId=invocation_id).write(level, message, fields)
            elif _wire.LOG_LEVELS[level] >= self._floor and self._floor != _wire.LOG_LEVEL_OFF:
                self._outbox.add(_log_frame(call_id, level, message, fields))

        def write(level: str, message: str, fields: "Mapping[str, Any]") -> None:
            if threading.get_ident() == self._thread:
                send(level, message, fields)
            else:
                self._loop.call_soon_threadsafe(send, level, message, fields)

        return Logger(write)


def _log_frame(call_id: int, level: str, message: str, fields: "Mapping[str, Any]") -> Any:
    frame = _wire.PluginFrame(call_id=call_id)
    frame.log.level = _wire.LOG_LEVELS[level]
    frame.log.message = str(message).encode("utf-8", "replace").decode("utf-8")
    now = time.time_ns()
    frame.log.time.seconds, frame.log.time.nanos = divmod(now, 1_000_000_000)
    if fields:
        _wire.fill_struct(frame.log.attributes, fields)
    return frame


def _reason(number: int) -> Cancelled:
    if number == _wire.REASON_DEADLINE:
        return timed_out()
    return cancelled("the host is shutting down" if number == _wire.REASON_HOST_SHUTDOWN else "the caller cancelled")
