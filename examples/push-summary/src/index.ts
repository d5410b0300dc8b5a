import { defineFunction, FnError } from "@fn/plugin-sdk"
import { isPush } from "./github.js"
import { commitOf, summaryOf } from "./summary.js"

/** A push comes in; out goes a summary, then one event for each commit. */
export default defineFunction({
  name: "push-summary",
  on: "com.github.push",
  emits: ["com.example.push.summary", "com.example.push.commit"],
  handler(event, ctx) {
    const push = event.data
    if (!isPush(push)) throw FnError.terminal("NOT_A_PUSH", `event ${event.id} is not a push of GitHub's`)
    const summary = summaryOf(push)
    ctx.log.info(summary.text)
    return [
      { type: "com.example.push.summary", subject: summary.ref, data: summary },
      ...push.commits.map((commit) => ({ type: "com.example.push.commit" as const, subject: commit.id, data: commitOf(push, commit) })),
    ]
  },
})
