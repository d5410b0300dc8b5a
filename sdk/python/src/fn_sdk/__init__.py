"""Functions of the fn platform in Python: one CloudEvent in, none, one or many out.

.. code-block:: python

    import fn_sdk as fn

    async def hello(event: fn.Event, ctx: fn.Context) -> fn.Event:
        return fn.Event("greeted", {"text": f"Hello {event.data['name']}"})

    fn.serve(hello, name="hello")

The program is a plugin that speaks go-plugin and serves ``fn.plugin.v1.Function``; the platform starts it, or any other go-plugin host.
"""

from .context import Context, FunctionIdentity, Init
from .errors import Cancelled, FnError, invalid_config, retry_after, terminal
from .event import Event
from .function import Handler, Output
from .log import Logger
from .serve import serve

__all__ = [
    "Cancelled",
    "Context",
    "Event",
    "FnError",
    "FunctionIdentity",
    "Handler",
    "Init",
    "Logger",
    "Output",
    "invalid_config",
    "retry_after",
    "serve",
    "terminal",
]
