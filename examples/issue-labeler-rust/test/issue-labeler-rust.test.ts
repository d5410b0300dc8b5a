import { fileURLToPath } from "node:url"
import { newId, noopLogger, type WireEvent } from "@fn/core"
import { testFunction } from "@fn/plugin-sdk/testing"
import type { FunctionDefinition } from "@fn/registry"
import { createPluginStarter, type Instance } from "@fn/runtime"
import { findRust } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import issueLabeler from "../../issue-labeler/src/index.js"
import { hookAt } from "../../issue-labeler/test/webhooks.js"

/** Events that both languages get. */
const EVENTS = process.env.CI ? 50 : 500

const rust = findRust()
const source = fileURLToPath(new URL("..", import.meta.url))
const config = { without: ["size/M"] }
let program: string
let instance: Instance

async function start(): Promise<Instance> {
  const fn = { namespace: "default", name: "issue-labeler-rust", version: "1.0.0", instance: newId() }
  const definition: FunctionDefinition = {
    ...fn,
    schema: 1,
    language: "rust",
    runtime: "plugin",
    command: [program],
    config,
    env: {},
    timeoutMs: 30_000,
    concurrency: 100,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00Z",
  }
  const starter = createPluginStarter({ logger: noopLogger, startTimeoutMs: 30_000 })
  return await starter.start({ fn, definition, logger: noopLogger }, new AbortController().signal)
}

async function label({ type, payload }: { type: string; payload: unknown }): Promise<WireEvent[]> {
  const attributes = {
    id: newId(),
    source: "https://github.com/o/r",
    type,
    specversion: "1.0" as const,
    datacontenttype: "application/json",
  }
  const event = { attributes, data: Buffer.from(JSON.stringify(payload)) }
  return await instance.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + 30_000, event })
}

if (!rust) {
  test("the Rust toolchain is needed", () => {
    console.warn("SKIPPED: needs cargo: the Rust example issue-labeler-rust was neither built nor run")
  })
} else {
  describe("R-FN-6, R-PL-3: a Rust plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      program = await rust.build(source, "issue-labeler-rust")
      instance = await start()
    }, 480_000)
    afterAll(() => instance?.close({ graceMs: 2_000 }))

    test(`R-PL-3: it says the same as the TypeScript function of the same rules, for ${EVENTS} events at once`, async () => {
      await using typescript = await testFunction(issueLabeler, { config, strict: true })
      const sent = Array.from({ length: EVENTS }, (_, index) => hookAt(index))
      const answers = await Promise.all(sent.map(label))
      const labels = new Set<string>()
      for (const [index, { type, payload }] of sent.entries()) {
        const [expected] = await typescript.invoke({ type, source: "https://github.com/o/r", data: payload })
        const [event, ...others] = answers[index] as WireEvent[]
        expect(others).toEqual([])
        const data = JSON.parse(Buffer.from(event?.data as Uint8Array).toString("utf8")) as { labels: string[] }
        expect({ ...event?.attributes, data }).toMatchObject({ type: expected?.type, subject: expected?.subject, data: expected?.data })
        expect(data).toEqual(expected?.data)
        for (const name of data.labels) labels.add(name)
      }
      // The comparison is worth something: most rules had their say.
      expect(labels.size).toBeGreaterThan(4)
    }, 60_000)

    test("what carries no issue fails for good, as in TypeScript", async () => {
      await expect(label({ type: "com.github.issues.opened", payload: { zen: "Keep it logically awesome." } })).rejects.toMatchObject({
        code: "failed_precondition",
        reason: "NOT_AN_ISSUE",
        retryable: false,
      })
      await expect(label({ type: "com.github.push", payload: {} })).rejects.toMatchObject({ reason: "TYPE_NOT_ACCEPTED" })
    })

    test("its own tests pass", async () => expect(await rust.test(source)).toMatch(/2 passed/), 480_000)
  })
}
