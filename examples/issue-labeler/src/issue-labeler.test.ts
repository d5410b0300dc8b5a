import { createRequire } from "node:module"
import { testFunction } from "@fn/plugin-sdk/testing"
import { describe, expect, test } from "@jest/globals"
import type { Labelled, Subject } from "./github.js"
import issueLabeler from "./index.js"
import { labelsFor } from "./rules.js"

interface Payload {
  readonly action: string
  readonly repository: { readonly full_name: string }
  readonly issue?: { readonly number: number }
  readonly pull_request?: { readonly number: number }
}

// Every example payload that GitHub publishes of the two events.
const examples = createRequire(import.meta.url)("@octokit/webhooks-examples") as { name: string; examples: Payload[] }[]
const hooks = examples
  .filter(({ name }) => name === "issues" || name === "pull_request")
  .flatMap(({ name, examples }) => examples.map((payload) => ({ type: `com.github.${name}.${payload.action}`, payload })))

const SUBJECT: Subject = {
  kind: "issue",
  repository: "o/r",
  number: 1,
  title: "Something",
  body: "A description that is long enough.",
  url: "https://github.com/o/r/issues/1",
  author: "ada",
  labels: [],
  draft: false,
}

describe("R-FN-6: issue-labeler on GitHub's own payloads", () => {
  test("each of them gives one event, about the issue or pull request it came for, with at least one label", async () => {
    await using tested = await testFunction(issueLabeler, { config: { without: [] }, strict: true })
    expect(hooks.length).toBeGreaterThan(50)
    for (const { type, payload } of hooks) {
      const [event, ...others] = await tested.invoke({ type, source: `https://github.com/${payload.repository.full_name}`, data: payload })
      const data = event?.data as Labelled
      expect(others).toEqual([])
      expect(event).toMatchObject({ type: "com.example.issue.labelled", subject: `${payload.repository.full_name}#${data.number}` })
      expect(data.number).toBe((payload.pull_request ?? payload.issue)?.number)
      expect(data.labels.length).toBeGreaterThan(0)
      expect(data.labels).toEqual(expect.arrayContaining([...data.added]))
    }
  })

  test("a spelling mistake in the README is documentation; the label it has is not added again", async () => {
    await using tested = await testFunction(issueLabeler, { config: { without: [] } })
    const hook = hooks.find(({ type }) => type === "com.github.issues.opened")
    const [event] = await tested.invoke({ type: hook?.type, data: hook?.payload })
    expect(event?.data).toMatchObject({
      kind: "issue",
      title: "Spelling error in the README file",
      labels: ["bug", "documentation"],
      added: ["documentation"],
    })
  })

  test("a pull request of two lines is of the smallest size", async () => {
    await using tested = await testFunction(issueLabeler, { config: { without: [] } })
    const hook = hooks.find(({ type }) => type === "com.github.pull_request.opened")
    const [event] = await tested.invoke({ type: hook?.type, data: hook?.payload })
    expect(event?.data).toMatchObject({ kind: "pull_request", labels: ["documentation", "size/XS"] })
  })

  test("labels a repository does not want are left out", async () => {
    await using tested = await testFunction(issueLabeler, { config: { without: ["bug", "documentation"] } })
    const hook = hooks.find(({ type }) => type === "com.github.issues.opened")
    const [event] = await tested.invoke({ type: hook?.type, data: hook?.payload })
    expect(event?.data).toMatchObject({ labels: [] })
  })

  test("what carries no issue fails for good, and other types are not taken", async () => {
    await using tested = await testFunction(issueLabeler)
    await expect(tested.invoke({ type: "com.github.issues.opened", data: { zen: "Keep it logically awesome." } })).rejects.toMatchObject({
      code: "failed_precondition",
      reason: "NOT_AN_ISSUE",
      retryable: false,
    })
    await expect(tested.invoke({ type: "com.github.push", data: {} })).rejects.toMatchObject({ reason: "TYPE_NOT_ACCEPTED" })
  })
})

describe("the rules", () => {
  test.each<[string, Partial<Subject>, string[]]>([
    ["nothing to say", {}, ["needs-triage"]],
    ["a crash", { title: "It crashes on start" }, ["bug"]],
    ["a hole", { body: "This is CVE-2026-12345, please mend." }, ["security"]],
    ["a wish", { body: "Please add support for dark mode." }, ["enhancement"]],
    ["a question", { title: "How do I install this?" }, ["question"]],
    ["a bot's update", { author: "dependabot[bot]", title: "Bump left-pad from 1 to 2" }, ["dependencies"]],
    ["no description", { body: " " }, ["needs-description"]],
    ["a draft", { kind: "pull_request", draft: true, changedLines: 10 }, ["work-in-progress", "size/S"]],
    ["a big change", { kind: "pull_request", changedLines: 1000 }, ["size/XL"]],
  ])("%s", (_what, subject, labels) => {
    expect(labelsFor({ ...SUBJECT, ...subject })).toEqual(labels)
  })
})
