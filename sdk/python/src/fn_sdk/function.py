"""What a program serves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, AsyncIterator, Awaitable, Callable, Iterable, Mapping, Optional, Sequence, Union

from .context import Context, Init
from .event import Event

Output = Union[None, Event, Iterable[Event]]
"""What a handler returns; a generator yields its events one by one."""

Handler = Callable[[Event, Context], Union[Output, Awaitable[Output], AsyncIterator[Event]]]


@dataclass(frozen=True)
class Function:
    """A handler and what it says of itself. See :func:`fn_sdk.serve`."""

    handler: Handler
    name: str
    version: str
    description: str
    accepts: Sequence[str]
    emits: Sequence[str]
    config_schema: Optional[Mapping[str, Any]]
    max_concurrency: int
    setup: Optional[Callable[[Init], Any]]
    shutdown: Optional[Callable[[Any], Any]]

    @property
    def config_schema_json(self) -> str:
        return "" if self.config_schema is None else json.dumps(self.config_schema)


def matches(patterns: Sequence[str], event_type: str) -> bool:
    """Whether a type is among the patterns; none means any, and a last ``*`` stands for any ending."""
    return not patterns or any(
        event_type.startswith(pattern[:-1]) if pattern.endswith("*") else pattern == event_type for pattern in patterns
    )
