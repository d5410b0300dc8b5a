import type { EventSink, WireEvent } from "@fn/core"

const NO_EVENTS: WireEvent[] = []

/** Hands over what an instance gave at the end instead of as it came: the answer of a plugin that knows no streaming. */
export async function streamRest(output: WireEvent[] | Promise<WireEvent[]>, sink: EventSink): Promise<WireEvent[]> {
  for (const event of await output) {
    const ready = sink.write(event)
    if (ready) await ready
  }
  return NO_EVENTS
}
