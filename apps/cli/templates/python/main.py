"""An event comes in, a greeting goes out. What goes into an Event and a Context: the README of the SDK."""

import fn_sdk as fn
from greeting import greet


async def handle(event: fn.Event, ctx: fn.Context) -> fn.Event:
    name = (event.data or {}).get("name")
    ctx.log.info("greeting", name=name)
    return fn.Event("com.example.greeted", {"text": greet(ctx.config.get("greeting", "Hello"), name)})


fn.serve(handle, name="__NAME__", version="0.1.0", emits=["com.example.greeted"])
