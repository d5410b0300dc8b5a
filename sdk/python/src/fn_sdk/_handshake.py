"""The first words with the host: its cookie, its variables, our line. docs/plugin-protocol.md#handshake"""

from __future__ import annotations

import os
import socket
import sys
import tempfile
import uuid
from dataclasses import dataclass
from typing import Optional

COOKIE_KEY = "FN_PLUGIN_COOKIE"
COOKIE_VALUE = "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8"
VERSION = 1

_VARIABLES = (
    "PLUGIN_MIN_PORT",
    "PLUGIN_MAX_PORT",
    "PLUGIN_PROTOCOL_VERSIONS",
    "PLUGIN_CLIENT_CERT",
    "PLUGIN_MULTIPLEX_GRPC",
    "PLUGIN_UNIX_SOCKET_DIR",
    "PLUGIN_UNIX_SOCKET_GROUP",
)
_MAX_SOCKET_PATH_BYTES = 103
_NOT_A_COMMAND = """This program is a plugin of fn: it is started by a host, not by hand.
Deploy it with `fn deploy`, or try it with `fn dev`.
"""


@dataclass(frozen=True)
class Handshake:
    """What the host said at the start."""

    client_certificate: bytes
    asks_for_multiplexing: bool
    socket_dir: Optional[str]
    socket_group: Optional[str]
    min_port: int
    max_port: int

    def line(self, address: str, certificate: str) -> bytes:
        """The line that says where we listen. The seventh field is only for hosts that ask for it, and says no."""
        network = "unix" if address.startswith("unix:") else "tcp"
        fields = ["1", str(VERSION), network, address[5:] if network == "unix" else address, "grpc", certificate]
        if self.asks_for_multiplexing:
            fields.append("false")
        return "|".join(fields).encode() + b"\n"

    def socket_path(self) -> str:
        """A path for our socket, short enough for the kernel."""
        name = f"plugin{uuid.uuid4().hex[:12]}"
        for folder in (self.socket_dir or tempfile.gettempdir(), "/tmp"):
            path = os.path.join(folder, name)
            if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
                return path
        raise OSError(f"the path of a socket in {self.socket_dir} would be too long")

    def open_to_group(self, path: str) -> None:
        """Lets the host's group connect, if it named one."""
        if not self.socket_group:
            return
        if self.socket_group.isdigit():
            group = int(self.socket_group)
        else:
            import grp

            group = grp.getgrnam(self.socket_group).gr_gid
        os.chown(path, -1, group)
        os.chmod(path, 0o660)

    def free_port(self) -> int:
        """The first free port of the host's range, 0 for any; for systems without unix sockets."""
        for port in range(self.min_port, self.max_port + 1):
            with socket.socket() as probe:
                try:
                    probe.bind(("127.0.0.1", port))
                    return port
                except OSError:
                    continue
        raise OSError(f"no port from {self.min_port} to {self.max_port} is free")


def read_handshake() -> Handshake:
    """Reads the host's variables and removes them: neither the author's code nor its children have a use for them. Exits without a cookie."""
    if os.environ.pop(COOKIE_KEY, "") != COOKIE_VALUE:
        sys.stderr.write(_NOT_A_COMMAND)
        sys.exit(1)
    given = {name: os.environ.pop(name, "") for name in _VARIABLES}
    return Handshake(
        client_certificate=given["PLUGIN_CLIENT_CERT"].encode(),
        asks_for_multiplexing=given["PLUGIN_MULTIPLEX_GRPC"] != "",
        socket_dir=given["PLUGIN_UNIX_SOCKET_DIR"] or None,
        socket_group=given["PLUGIN_UNIX_SOCKET_GROUP"] or None,
        min_port=int(given["PLUGIN_MIN_PORT"] or 0),
        max_port=int(given["PLUGIN_MAX_PORT"] or 0),
    )
