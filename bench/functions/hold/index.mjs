import { once } from "node:events"

/** Gives one event at once, then keeps its instance until it is cancelled. */
export default async function* hold(event, { signal }) {
  yield { type: "com.example.held", data: event.data }
  if (!signal.aborted) await once(signal, "abort")
}
