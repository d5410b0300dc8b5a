"""CloudEvents 1.0, as functions see them. https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md"""

from __future__ import annotations

import base64
import json
import re
import uuid
from datetime import datetime, timezone
from typing import Any, Mapping, Optional, Union

from . import _wire
from .errors import bad_output, invalid_event

ExtensionValue = Union[str, bool, int]

_SPEC_VERSION = "1.0"
_TEXTS = ("subject", "time", "datacontenttype", "dataschema")
_OWN_ATTRIBUTES = frozenset({*_TEXTS, "id", "source", "type", "specversion", "data"})
_EXTENSION_NAME = re.compile(r"[a-z0-9]+")
_JSON_TYPE = re.compile(r"[^;]*[/+]json\s*(;|$)", re.IGNORECASE)
_TEXT_TYPE = re.compile(r"text/", re.IGNORECASE)
_UNREAD = object()


class Event:
    """One event. Of an event to send, ``id``, ``source``, ``time`` and ``datacontenttype`` are filled in where they are absent.

    ``data`` is what the content type says: the value of JSON, text of ``text/…``, else bytes. Data to send goes out as JSON, unless it is
    bytes, or text of another content type. ``raw`` is the payload as it was sent; None is absent, ``b""`` is empty.
    """

    __slots__ = ("id", "source", "type", "subject", "time", "datacontenttype", "dataschema", "extensions", "raw", "_data")

    def __init__(
        self,
        type: str,
        data: Any = None,
        *,
        id: str = "",
        source: str = "",
        subject: str = "",
        time: str = "",
        datacontenttype: str = "",
        dataschema: str = "",
        extensions: Optional[Mapping[str, ExtensionValue]] = None,
        raw: Optional[bytes] = None,
    ) -> None:
        self.type = type
        self.id = id
        self.source = source
        self.subject = subject
        self.time = time
        self.datacontenttype = datacontenttype
        self.dataschema = dataschema
        self.extensions: "dict[str, ExtensionValue]" = dict(extensions or {})
        self.raw = raw
        self._data: Any = _UNREAD
        if raw is None and data is not None:
            self._encode(data)

    @property
    def data(self) -> Any:
        """The payload, decoded once. Raises INVALID_EVENT where it is not what its content type says: the sender's mistake, never repeated."""
        if self._data is _UNREAD:
            self._data = self._decode()
        return self._data

    def __repr__(self) -> str:
        return f"Event(type={self.type!r}, id={self.id!r}, source={self.source!r})"

    def _encode(self, data: Any) -> None:
        if isinstance(data, (bytes, bytearray, memoryview)):
            self.raw = bytes(data)
            self.datacontenttype = self.datacontenttype or "application/octet-stream"
        elif isinstance(data, str) and self.datacontenttype and not _JSON_TYPE.match(self.datacontenttype):
            self.raw = data.encode()
        else:
            self.datacontenttype = self.datacontenttype or "application/json"
            try:
                self.raw = json.dumps(data, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            except (TypeError, ValueError) as error:
                raise bad_output(f"the data of a {self.type} event is no JSON: {error}") from error

    def _decode(self) -> Any:
        raw = self.raw
        if raw is None or (not raw and not self.datacontenttype):
            return raw
        try:
            if not self.datacontenttype or _JSON_TYPE.match(self.datacontenttype):
                return json.loads(raw)
            return raw.decode() if _TEXT_TYPE.match(self.datacontenttype) else raw
        except ValueError as error:
            details = {"side": "receiver", "type": self.type, "attribute": "data"}
            raise invalid_event(f"{self.type}, checked by the receiver: data: {error}", details) from error


def event_from_proto(sent: Any) -> Event:
    """The event of a call."""
    if not sent.id or not sent.source or not sent.type or sent.spec_version != _SPEC_VERSION:
        raise invalid_event("id, source, type and specversion 1.0 are required")
    event = Event(sent.type, id=sent.id, source=sent.source)
    for name, value in sent.attributes.items():
        plain = _plain(value)
        if name not in _TEXTS:
            event.extensions[name] = plain
        elif isinstance(plain, str):
            setattr(event, name, plain)
        else:
            raise invalid_event(f"{name}: it must be text")
    kind = sent.WhichOneof("data")
    if kind == "binary_data":
        event.raw = sent.binary_data
    elif kind == "text_data":
        event.raw = sent.text_data.encode()
    elif kind is not None:
        raise invalid_event("proto_data is not supported; send binary_data")
    return event


def event_to_proto(event: Any, source: str, sent: Any) -> None:
    """Writes an event that a function gave into ``sent``. Raises BAD_OUTPUT for what is none."""
    if not isinstance(event, Event):
        raise bad_output(f"{_shown(event)} is no Event")
    if not isinstance(event.type, str) or not event.type:
        raise bad_output("an event of it has no type")
    try:
        sent.id = event.id or str(uuid.uuid4())
        sent.source = event.source or source
        sent.spec_version = _SPEC_VERSION
        sent.type = event.type
        sent.attributes["time"].ce_string = event.time or _now()
        for name in ("subject", "datacontenttype", "dataschema"):
            text = getattr(event, name)
            if text:
                sent.attributes[name].ce_string = text
        for name, value in event.extensions.items():
            _extension_to_proto(name, value, sent.attributes)
        if event.raw is not None:
            sent.binary_data = event.raw
    except (TypeError, ValueError) as error:
        raise bad_output(f"a {event.type} event of it is invalid: {error}") from error


def _extension_to_proto(name: str, value: ExtensionValue, attributes: Any) -> None:
    if not _EXTENSION_NAME.fullmatch(name):
        raise ValueError(f"extension {name!r}: a name has only lower-case letters and digits")
    if name in _OWN_ATTRIBUTES:
        raise ValueError(f"extension {name!r}: it is an attribute of its own")
    if isinstance(value, bool):
        attributes[name].ce_boolean = value
    elif isinstance(value, int):
        attributes[name].ce_integer = value
    elif isinstance(value, str):
        attributes[name].ce_string = value
    else:
        raise ValueError(f"extension {name!r}: it must be a str, a bool or a 32-bit int")


def _plain(value: Any) -> ExtensionValue:
    kind = value.WhichOneof("attr")
    if kind == "ce_timestamp":
        return str(value.ce_timestamp.ToJsonString())
    if kind == "ce_bytes":
        return base64.b64encode(value.ce_bytes).decode()
    plain: ExtensionValue = getattr(value, kind) if kind else ""
    return plain


def _now() -> str:
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}…"
