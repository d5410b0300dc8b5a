"""The services every go-plugin plugin has beside its own: health, controller, stdio and broker."""

from __future__ import annotations

import asyncio
import io
from collections import deque
from typing import Any, AsyncIterator, Callable, Deque, Tuple

import grpc

from . import _wire

_RING_BYTES = 1024 * 1024
_CHUNK_BYTES = 32 * 1024
_SERVED_NAMES = ("", "plugin")


class Stdio:
    """What the program prints, on its way to the host. Kept until the host reads; beyond a megabyte the oldest goes, so printing never blocks."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._ring: "Deque[Tuple[int, bytes]]" = deque()
        self._size = 0
        self._filled = asyncio.Event()
        self._ended = False

    def text_stream(self, channel: int) -> io.TextIOWrapper:
        """Stands in for ``sys.stdout`` or ``sys.stderr``."""
        return io.TextIOWrapper(_Channel(self, channel), "utf-8", "backslashreplace", line_buffering=True, write_through=True)

    def push(self, channel: int, data: bytes) -> None:
        """Takes output from any thread."""
        if data and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._add, channel, data)

    def end(self) -> None:
        """Ends the host's stream once all is sent."""
        self._ended = True
        self._filled.set()

    def _add(self, channel: int, data: bytes) -> None:
        self._ring.append((channel, data))
        self._size += len(data)
        while self._size > _RING_BYTES and len(self._ring) > 1:
            self._size -= len(self._ring.popleft()[1])
        self._filled.set()

    async def stream(self, _request: Any, _context: Any) -> "AsyncIterator[Any]":
        while True:
            while self._ring:
                channel, data = self._ring.popleft()
                self._size -= len(data)
                for start in range(0, len(data), _CHUNK_BYTES):
                    yield _wire.StdioData(channel=channel, data=data[start : start + _CHUNK_BYTES])
            if self._ended:
                return
            self._filled.clear()
            await self._filled.wait()


class _Channel(io.BufferedIOBase):
    def __init__(self, stdio: Stdio, channel: int) -> None:
        self._stdio = stdio
        self._channel = channel
        self.name = "<stdout>" if channel == _wire.STDOUT else "<stderr>"

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        copied = bytes(data)
        self._stdio.push(self._channel, copied)
        return len(copied)


def services(stdio: Stdio, on_shutdown: "Callable[[], None]") -> "list[Any]":
    """What a gRPC server registers beside the function."""
    ended = asyncio.Event()

    async def check(request: Any, context: Any) -> Any:
        if request.service not in _SERVED_NAMES:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"there is no service {request.service}")
        return _wire.HealthCheckResponse(status=_wire.SERVING)

    async def watch(request: Any, context: Any) -> "AsyncIterator[Any]":
        yield await check(request, context)
        await ended.wait()

    async def shutdown(_request: Any, _context: Any) -> Any:
        ended.set()
        on_shutdown()
        return _wire.Controlled()

    async def broker(requests: "AsyncIterator[Any]", _context: Any) -> "AsyncIterator[Any]":
        # A function neither offers nor dials brokered connections; the host's stream stays open all the same.
        async for _announced in requests:
            pass
        return
        yield

    def served(name: str, methods: "dict[str, Any]") -> Any:
        return grpc.method_handlers_generic_handler(name, methods)

    def codec(request: Any, response: Any) -> "dict[str, Any]":
        return {"request_deserializer": request.FromString, "response_serializer": response.SerializeToString}

    health = codec(_wire.HealthCheckRequest, _wire.HealthCheckResponse)
    return [
        served(
            "grpc.health.v1.Health",
            {"Check": grpc.unary_unary_rpc_method_handler(check, **health), "Watch": grpc.unary_stream_rpc_method_handler(watch, **health)},
        ),
        served(
            "plugin.GRPCController",
            {"Shutdown": grpc.unary_unary_rpc_method_handler(shutdown, **codec(_wire.Controlled, _wire.Controlled))},
        ),
        served(
            "plugin.GRPCStdio",
            {"StreamStdio": grpc.unary_stream_rpc_method_handler(stdio.stream, **codec(_wire.Empty, _wire.StdioData))},
        ),
        served(
            "plugin.GRPCBroker",
            {"StartStream": grpc.stream_stream_rpc_method_handler(broker, **codec(_wire.ConnInfo, _wire.ConnInfo))},
        ),
    ]
