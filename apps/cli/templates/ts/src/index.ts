import { defineFunction } from "@fn/plugin-sdk"

/** What callers send as the event's data. All of it may be missing: an event is whatever somebody sends. */
interface Visitor {
  name?: string
}

/** Takes an event, gives one back. Return an array for several, nothing for none. */
export default defineFunction({
  name: "__NAME__",
  emits: ["com.example.greeted"],
  handler(event, ctx) {
    const { name = "world" } = (event.data ?? {}) as Visitor
    ctx.log.info("greeting", { name })
    return { type: "com.example.greeted", data: { text: `${ctx.config.greeting ?? "Hello"}, ${name}!` } }
  },
})
