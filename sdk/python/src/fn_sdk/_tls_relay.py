"""TLS in front of gRPC, for hosts whose certificate grpcio refuses.

A Go host's certificate is on the curve P-521, and BoringSSL, which grpcio is built on, takes none such from a client. Python's own OpenSSL does.
So it ends the encryption, and passes the bytes on to a socket that only this user can reach.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import ssl
import tempfile
from typing import Optional, Set

from ._certificate import Certificate

_CHUNK_BYTES = 64 * 1024


class TlsRelay:
    """Listens on one socket with TLS, and connects each connection to ``inner_path``."""

    def __init__(self, own: Certificate, host_certificate: bytes) -> None:
        self._folder = tempfile.mkdtemp(prefix="fn-relay-")
        self.inner_path = os.path.join(self._folder, "grpc")
        self._context = self._tls(own, host_certificate.decode())
        self._server: Optional[asyncio.AbstractServer] = None
        self._connections: "Set[asyncio.Task[None]]" = set()

    async def listen(self, path: str) -> None:
        """Accepts connections from whoever has the host's key."""
        self._server = await asyncio.start_unix_server(self._connected, path, ssl=self._context)

    async def close(self) -> None:
        """Ends all connections and leaves no file."""
        if self._server is not None:
            self._server.close()
        for connection in self._connections:
            connection.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _tls(self, own: Certificate, host_certificate: str) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.verify_mode = ssl.CERT_REQUIRED
        # The host's certificate stands for itself, whether it calls itself a CA or not.
        context.verify_flags |= ssl.VerifyFlags(0x80000)
        context.load_verify_locations(cadata=host_certificate)
        context.set_alpn_protocols(["h2"])
        # OpenSSL reads keys from files alone; this one lives for two lines, in a folder that is ours.
        pem = os.path.join(self._folder, "key")
        with open(os.open(pem, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(own.key + own.certificate)
        try:
            context.load_cert_chain(pem)
        finally:
            os.unlink(pem)
        return context

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._connections.add(task)
        try:
            inner_reader, inner_writer = await asyncio.open_unix_connection(self.inner_path)
            await asyncio.gather(_copy(reader, inner_writer), _copy(inner_reader, writer))
        except (OSError, asyncio.CancelledError):
            pass  # one side is gone; so is the other, now
        finally:
            self._connections.discard(task)
            writer.close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            data = await reader.read(_CHUNK_BYTES)
            if not data:
                return
            writer.write(data)
            await writer.drain()
    finally:
        writer.close()
