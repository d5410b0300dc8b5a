/** What a function that labels issues has to do in every language: as the TypeScript function does it. */
import { newId, noopLogger } from "@fn/core"
import { testFunction } from "@fn/plugin-sdk/testing"
import type { FunctionDefinition } from "@fn/registry"
import { createPluginStarter } from "@fn/runtime"
import { expect, test } from "@jest/globals"
import issueLabeler from "../src/index.js"
import { type Answer, compareLabels } from "./compare.mjs"

/** Events that every language gets. */
const EVENTS = process.env.CI ? 50 : 500
const TIMEOUT_MS = 60_000

/** A function that runs. */
export interface Labeler {
  readonly config: Record<string, unknown>
  /** Sends it an event. */
  label(event: { readonly type: string; readonly payload: unknown }): Promise<readonly Answer[]>
}

/** A {@link Labeler} that is a process of its test. */
export interface LabelerPlugin extends Labeler {
  close(): Promise<void>
}

/** The tests; `labeler` is asked for when they run. */
export function labelsLikeTypeScript(labeler: () => Labeler): void {
  test(`R-PL-3: it says the same as the TypeScript function, for ${EVENTS} real events at once`, async () => {
    const { config, label } = labeler()
    const { differences, labels } = await compareLabels(issueLabeler, label, { events: EVENTS, config })
    expect(differences).toEqual([])
    expect(labels.size).toBeGreaterThan(4)
  }, 60_000)

  test("what carries no issue fails for good, with the same reason", async () => {
    await using typescript = await testFunction(issueLabeler, { config: labeler().config })
    for (const { type, payload } of [
      { type: "com.github.issues.opened", payload: { zen: "Keep it logically awesome." } },
      { type: "com.github.push", payload: {} },
    ]) {
      const failure = (thrown: unknown): object => {
        const { code, reason, retryable } = thrown as { code: string; reason: string; retryable: boolean }
        return { code, reason, retryable }
      }
      const expected = await typescript.invoke({ type, data: payload }).then(() => ({}), failure)
      expect(expected).toMatchObject({ reason: expect.stringMatching(/^(NOT_AN_ISSUE|TYPE_NOT_ACCEPTED)$/), retryable: false })
      expect(
        await labeler()
          .label({ type, payload })
          .then(() => ({}), failure),
      ).toEqual(expected)
    }
  })
}

/** Starts a program that is such a function, as a host does. */
export async function startLabelerPlugin(language: FunctionDefinition["language"], command: [string, ...string[]]): Promise<LabelerPlugin> {
  const fn = { namespace: "default", name: `issue-labeler-${language}`, version: "1.0.0", instance: newId() }
  const config = { without: ["size/M"] }
  const definition: FunctionDefinition = {
    ...fn,
    schema: 1,
    language,
    runtime: "plugin",
    command,
    config,
    env: {},
    timeoutMs: TIMEOUT_MS,
    concurrency: 100,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00Z",
  }
  const starter = createPluginStarter({ logger: noopLogger, startTimeoutMs: TIMEOUT_MS })
  const instance = await starter.start({ fn, definition, logger: noopLogger }, new AbortController().signal)
  return {
    config,
    label: async ({ type, payload }) => {
      const attributes = { id: newId(), source: "https://github.com/o/r", type, specversion: "1.0", datacontenttype: "application/json" }
      const event = { attributes, data: Buffer.from(JSON.stringify(payload)) }
      const events = await instance.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + TIMEOUT_MS, event })
      return events.map(({ attributes: { type, subject }, data }) => ({
        type,
        subject,
        data: JSON.parse(Buffer.from(data as Uint8Array).toString("utf8")),
      }))
    },
    close: () => instance.close({ graceMs: 2_000 }),
  }
}
