"""Serves a function to the host that started this process. docs/plugin-protocol.md"""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import signal
import sys
import threading
import time
import traceback
from typing import Any, Callable, Mapping, Optional, Sequence

import grpc

from . import _wire
from ._certificate import make_certificate, refused_by_grpc
from ._handshake import Handshake, read_handshake
from ._server import MAX_MESSAGE_BYTES, FunctionServer
from ._services import Stdio, services
from ._tls_relay import TlsRelay
from .context import Init
from .function import Function, Handler
from .log import Logger, ProcessLog, StandardLogging

_LAST_GRACE_S = 0.8
"""For a host that did not ask the function to end, and is about to kill us."""
_GRPC_OPTIONS = [
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", -1),
    ("grpc.so_reuseport", 0),
]


def serve(
    handler: Handler,
    *,
    name: str = "function",
    version: str = "0.0.0",
    description: str = "",
    accepts: Sequence[str] = (),
    emits: Sequence[str] = (),
    config_schema: Optional[Mapping[str, Any]] = None,
    max_concurrency: int = 0,
    setup: Optional[Callable[[Init], Any]] = None,
    shutdown: Optional[Callable[[Any], Any]] = None,
) -> None:
    """Serves ``handler(event, ctx)`` until the host ends the process. Call it once, last.

    The handler returns an event, several, or None; it may be async, and it may be a generator, async or not. One that is not async runs in a
    thread and may block; up to 64 run at once. ``accepts`` and ``emits`` are event types, a last ``*`` standing for any ending; none means
    any. ``setup(init)`` runs once, before the first event: what it returns is ``ctx.deps``, what it raises keeps the function from starting.
    ``shutdown(deps)`` runs once, when no call is left. ``max_concurrency`` 0 leaves it to the host.
    """
    function = Function(handler, name, version, description, accepts, emits, config_schema, max_concurrency, setup, shutdown)
    handshake = read_handshake()
    outputs = (sys.stdout, sys.stderr)
    faulthandler.enable(sys.__stderr__ or 2)
    try:
        asyncio.run(_Serving(function, handshake).run())
    except SystemExit as asked:
        # The author's own wish, from wherever. Its text belongs on the real stderr, which the host shows of a process that ended.
        sys.stdout, sys.stderr = outputs
        _exit(asked.code)
    sys.stdout, sys.stderr = outputs
    _exit(0)


class _Serving:
    def __init__(self, function: Function, handshake: Handshake) -> None:
        self._function = function
        self._handshake = handshake
        self._process_log = ProcessLog(function.name, 2)
        self._log = Logger(self._process_log.write)
        self._relay: Optional[TlsRelay] = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        ending = asyncio.Event()
        # Ctrl-C reaches the host as well, which then ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        loop.add_signal_handler(signal.SIGTERM, ending.set)
        stdio = Stdio()
        server = grpc.aio.server(options=_GRPC_OPTIONS)
        functions = FunctionServer(self._function, self._log)
        server.add_generic_rpc_handlers([functions.service(), *services(stdio, ending.set)])
        line, socket_path = await self._listen(server)
        self._follow_host(socket_path)
        _write_fully(1, line)
        sys.stdout, sys.stderr = stdio.text_stream(_wire.STDOUT), stdio.text_stream(_wire.STDERR)
        self._take_logging()

        await ending.wait()
        await self._finish(functions)
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        # Frames of output go the same way as these calls: what was printed before is in the ring by then.
        loop.call_soon(stdio.end)
        await server.stop(_LAST_GRACE_S / 4)
        if self._relay is not None:
            await self._relay.close()
        _remove(socket_path)

    async def _listen(self, server: Any) -> "tuple[bytes, Optional[str]]":
        """Listens and gives the handshake line, which may only be printed then."""
        handshake = self._handshake
        path = handshake.socket_path() if hasattr(asyncio, "open_unix_connection") else None
        address = f"unix:{path}" if path else f"127.0.0.1:{handshake.free_port()}"
        field = ""
        if not handshake.client_certificate:
            bound = server.add_insecure_port(address)
        else:
            own = make_certificate()
            field = own.field
            if path and self._needs_relay():
                self._relay = TlsRelay(own, handshake.client_certificate)
                bound = server.add_insecure_port(f"unix:{self._relay.inner_path}")
                await self._relay.listen(path)
            else:
                credentials = grpc.ssl_server_credentials([(own.key, own.certificate)], handshake.client_certificate, True)
                bound = server.add_secure_port(address, credentials)
        await server.start()
        if path:
            handshake.open_to_group(path)
        else:
            address = f"127.0.0.1:{bound}"
        return handshake.line(address, field), path

    def _needs_relay(self) -> bool:
        try:
            return refused_by_grpc(self._handshake.client_certificate)
        except ValueError as error:
            raise SystemExit(f"the host's certificate in PLUGIN_CLIENT_CERT is none: {error}") from error

    def _follow_host(self, socket_path: Optional[str]) -> None:
        """Ends the process when its host is gone, whatever the function is doing."""
        host = os.getppid()

        def watch() -> None:
            while os.getppid() == host:
                time.sleep(1)
            _remove(socket_path)
            os._exit(1)

        threading.Thread(target=watch, name="fn-host-watch", daemon=True).start()

    def _take_logging(self) -> None:
        root = logging.getLogger()
        if not root.handlers:
            root.addHandler(StandardLogging(self._log))
            root.setLevel(logging.INFO)

    async def _finish(self, functions: FunctionServer) -> None:
        try:
            abandoned = await functions.end(_LAST_GRACE_S)
            if abandoned > 0:
                self._log.warn("executions were still running at the end", abandoned=abandoned)
        except Exception:
            self._log.error("shutdown failed", traceback=traceback.format_exc())


def _write_fully(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]


def _remove(path: Optional[str]) -> None:
    if path is None:
        return
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass  # gRPC removes it where it made it


def _exit(code: object) -> None:
    """Ends the process now: threads of handlers that did not end would keep it for ever."""
    number = code if isinstance(code, int) else 0 if code is None else 1
    if number == 1 and not isinstance(code, int):
        sys.stderr.write(f"{code}\n")
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(number)
