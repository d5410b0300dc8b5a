"""Where log lines go: with their call over the stream, or on stderr as the JSON lines of hclog, which any go-plugin host reads."""

from __future__ import annotations

import contextvars
import json
import logging
import os
import threading
import traceback
from datetime import datetime, timezone
from typing import Any, Callable, Mapping, Optional

WriteLine = Callable[[str, str, Mapping[str, Any]], None]


class Logger:
    """Writes lines of the function's log: a constant message, and what varies as fields. ``ctx.log.info("charged", order=7)``"""

    def __init__(self, write: WriteLine, fields: Optional[Mapping[str, Any]] = None) -> None:
        self._write = write
        self._fields = dict(fields or {})

    def write(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        """Writes a line of a level: debug, info, warn or error."""
        self._write(level, message, {**self._fields, **fields})

    def debug(self, message: str, **fields: Any) -> None:
        """For whoever looks closely."""
        self.write("debug", message, fields)

    def info(self, message: str, **fields: Any) -> None:
        """What happens."""
        self.write("info", message, fields)

    def warn(self, message: str, **fields: Any) -> None:
        """What should not, and was dealt with."""
        self.write("warn", message, fields)

    def error(self, message: str, **fields: Any) -> None:
        """What failed."""
        self.write("error", message, fields)

    def child(self, **fields: Any) -> "Logger":
        """A logger whose lines carry these fields, too."""
        return Logger(self._write, {**self._fields, **fields})


current_log: "contextvars.ContextVar[Optional[Logger]]" = contextvars.ContextVar("fn_sdk_log", default=None)
"""The log of the call that the current code runs for."""


class ProcessLog:
    """hclog's JSON on the real stderr, one write a line. A host that is gone cannot be told anything, so that is not an error."""

    def __init__(self, name: str, descriptor: int) -> None:
        self._name = name
        self._descriptor = descriptor
        self._lock = threading.Lock()

    def write(self, level: str, message: str, fields: Mapping[str, Any]) -> None:
        line: "dict[str, Any]" = {
            "@level": level,
            "@message": message,
            "@module": self._name,
            "@timestamp": datetime.now(timezone.utc).isoformat(timespec="microseconds").replace("+00:00", "Z"),
        }
        line.update((name, value) for name, value in fields.items() if not name.startswith("@"))
        rest = memoryview(json.dumps(line, default=str, skipkeys=True).encode() + b"\n")
        with self._lock:
            try:
                while rest:
                    rest = rest[os.write(self._descriptor, rest) :]
            except OSError:
                return


def _level_of(number: int) -> str:
    for floor, level in ((logging.ERROR, "error"), (logging.WARNING, "warn"), (logging.INFO, "info")):
        if number >= floor:
            return level
    return "debug"


class StandardLogging(logging.Handler):
    """Python's own ``logging``: its lines reach the function's log with their level, and the call they were written for."""

    def __init__(self, process_log: Logger) -> None:
        super().__init__()
        self._process_log = process_log

    def emit(self, record: logging.LogRecord) -> None:
        try:
            fields: "dict[str, Any]" = {"logger": record.name}
            if record.exc_info and record.exc_info[0] is not None:
                fields["traceback"] = "".join(traceback.format_exception(*record.exc_info))
            log = current_log.get() or self._process_log
            log.write(_level_of(record.levelno), record.getMessage(), fields)
        except Exception:
            self.handleError(record)
