import { type EventInit, eventToWire, type WireEvent } from "@fn/core"
import type { InvokeOptions } from "./options.js"

/** Type of the event that carries bare data, where the caller names none. */
export const DATA_EVENT_TYPE = "com.fn.invoke"

/**
 * What a caller passed, as an event: an object with `specversion`, or with a string `type` and `data`, is an event; everything else, and
 * everything when `options.type` is given, is the data of one.
 * @throws {FnError} invalid_argument INVALID_EVENT
 */
export function inputToWire(input: unknown, options: InvokeOptions, source: string): WireEvent {
  const defaults = { source: options.source ?? source }
  if (options.type === undefined && isEvent(input)) return eventToWire(input, defaults)
  return eventToWire({ type: options.type ?? DATA_EVENT_TYPE, ...(input === undefined ? {} : { data: input }) }, defaults)
}

function isEvent(input: unknown): input is EventInit {
  if (typeof input !== "object" || input === null) return false
  if ("specversion" in input) return true
  return "type" in input && typeof input.type === "string" && ("data" in input || "data_base64" in input)
}
