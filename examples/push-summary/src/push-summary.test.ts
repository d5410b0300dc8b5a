import { createRequire } from "node:module"
import { testFunction } from "@fn/plugin-sdk/testing"
import { describe, expect, test } from "@jest/globals"
import type { Push } from "./github.js"
import pushSummary from "./index.js"
import { summaryOf } from "./summary.js"

// Every example payload of a push that GitHub publishes.
const examples = createRequire(import.meta.url)("@octokit/webhooks-examples") as { name: string; examples: Push[] }[]
const pushes = examples.find(({ name }) => name === "push")?.examples as Push[]

const COMMIT = {
  message: "Mend the gate\n\nIt squeaked.",
  timestamp: "2026-01-02T03:04:05Z",
  url: "https://github.com/o/r/commit/a",
  added: [],
  removed: [],
  modified: ["gate.ts"],
}
const PUSH: Push = {
  ref: "refs/heads/feature/gate",
  created: false,
  deleted: false,
  forced: false,
  compare: "https://github.com/o/r/compare/a...b",
  pusher: { name: "ada" },
  repository: { full_name: "o/r" },
  commits: [
    { ...COMMIT, id: "a1", author: { name: "Ada", username: "ada" } },
    { ...COMMIT, id: "b2", author: { name: "Grace" }, added: ["hinge.ts"] },
  ],
}

describe("R-FN-6: push-summary on GitHub's own payloads", () => {
  test("each push gives its summary and one event per commit, the summary first", async () => {
    await using tested = await testFunction(pushSummary, { strict: true })
    expect(pushes.length).toBeGreaterThan(5)
    for (const push of pushes) {
      const events = await tested.invoke({ type: "com.github.push", source: `https://github.com/${push.repository.full_name}`, data: push })
      expect(events.map(({ type }) => type)).toEqual(["com.example.push.summary", ...push.commits.map(() => "com.example.push.commit")])
      expect(events[0]?.data).toMatchObject({ repository: push.repository.full_name, commits: push.commits.length, by: push.pusher.name })
      expect(events.slice(1).map(({ subject }) => subject)).toEqual(push.commits.map(({ id }) => id))
    }
  })

  test("a new branch, a new tag and a deleted tag are told apart", () => {
    const texts = new Set(pushes.map((push) => summaryOf(push).text))
    expect(texts).toEqual(
      new Set([
        "Codertocat created tag simple-tag of Codertocat/Hello-World",
        "Codertocat deleted tag simple-tag of Codertocat/Hello-World",
        "Codertocat created branch master of Codertocat/Hello-World with 1 commit in 1 file",
      ]),
    )
  })
})

describe("push-summary", () => {
  test("counts each file once, names each author once, and keeps the first line of a commit", async () => {
    await using tested = await testFunction(pushSummary)
    const [summary, ...commits] = await tested.invoke({ type: "com.github.push", data: PUSH })
    expect(summary?.data).toMatchObject({
      ref: "feature/gate",
      action: "pushed",
      commits: 2,
      files: 2,
      authors: ["ada", "Grace"],
      text: "ada pushed branch feature/gate of o/r with 2 commits in 2 files",
    })
    expect(commits.map(({ data }) => data)).toMatchObject([
      { id: "a1", title: "Mend the gate", author: "ada", files: 1 },
      { id: "b2", author: "Grace", files: 2 },
    ])
    expect(tested.logs).toEqual([
      expect.objectContaining({ level: "info", message: "ada pushed branch feature/gate of o/r with 2 commits in 2 files" }),
    ])
  })

  test("a rewritten history is said to be one", () => {
    expect(summaryOf({ ...PUSH, forced: true }).text).toMatch(/^ada force-pushed branch/)
  })

  test("what is no push fails for good", async () => {
    await using tested = await testFunction(pushSummary)
    await expect(tested.invoke({ type: "com.github.push", data: { ref: 3 } })).rejects.toMatchObject({
      reason: "NOT_A_PUSH",
      retryable: false,
    })
  })
})
