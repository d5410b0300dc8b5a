import { defineFunction, FnError } from "@fn/plugin-sdk"
import { type Labelled, readSubject } from "./github.js"
import { labelsFor } from "./rules.js"

/** A GitHub issue or pull request comes in; out goes one event with the labels it should have. */
export default defineFunction({
  name: "issue-labeler",
  on: ["com.github.issues.*", "com.github.pull_request.*"],
  emits: ["com.example.issue.labelled"],
  handler(event, ctx) {
    const subject = readSubject(event.data)
    if (!subject) throw FnError.terminal("NOT_AN_ISSUE", `${event.type} ${event.id} carries neither an issue nor a pull request`)
    const without = ctx.config.without as readonly string[] | undefined
    const labels = labelsFor(subject).filter((label) => !without?.includes(label))
    const { kind, repository, number, title, url } = subject
    const data: Labelled = {
      repository,
      kind,
      number,
      title,
      url,
      labels,
      added: labels.filter((label) => !subject.labels.includes(label)),
    }
    return { type: "com.example.issue.labelled", subject: `${repository}#${number}`, data }
  },
})
