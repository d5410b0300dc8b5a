import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { findOnPath } from "@fn/process"
import { type FnDev, startFnDev } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(180_000)

interface Payload {
  readonly action?: string
  readonly release?: { readonly id: number; readonly draft: boolean; readonly published_at: string | null; readonly tag_name: string }
  readonly milestone?: { readonly id: number; readonly due_on: string | null; readonly title: string }
  readonly repository?: { readonly full_name: string }
}

const require = createRequire(import.meta.url)
const examples = require("@octokit/webhooks-examples") as { name: string; examples: Payload[] }[]
const payloads = (name: string): Payload[] => examples.find((entry) => entry.name === name)?.examples ?? []

if (findOnPath("ruby") === undefined) {
  test("Ruby is needed", () => {
    console.warn("SKIPPED: needs ruby: the Ruby example release-calendar was not run")
  })
} else {
  describe("R-FN-6: a function in Ruby, on GitHub's example payloads", () => {
    let fn: FnDev
    let client: Client

    beforeAll(async () => {
      const program = join(dirname(require.resolve("@fn/cli/package.json")), "dist/main.js")
      fn = await startFnDev({ program, folders: [fileURLToPath(new URL("..", import.meta.url))] })
      client = await connectClient({ servers: fn.nats })
    })
    afterAll(async () => {
      await client?.close()
      await fn?.[Symbol.asyncDispose]()
    })

    /** The calendar that a webhook becomes, its folded lines joined; undefined for none. */
    async function calendar(kind: string, payload: unknown): Promise<{ subject: string; lines: string[] } | undefined> {
      const action = (payload as Payload)?.action ?? "published"
      const event = { type: `com.github.${kind}.${action}`, time: "2026-11-20T10:00:00Z", data: payload }
      const [entry, ...more] = await client.invoke("release-calendar", event, { timeoutMs: 20_000 })
      expect(more).toEqual([])
      if (entry === undefined) return undefined
      expect(entry).toMatchObject({ type: "com.example.calendar.entry", datacontenttype: "text/calendar" })
      const text = entry.data as string
      for (const line of text.split("\r\n")) expect(Buffer.byteLength(line)).toBeLessThanOrEqual(75)
      return { subject: entry.subject as string, lines: text.replaceAll("\r\n ", "").split("\r\n") }
    }

    test("every published release is an all-day entry, every draft is none", async () => {
      const all = payloads("release")
      expect(all.length).toBeGreaterThan(5)
      for (const payload of all) {
        const { release, repository } = payload as Required<Payload>
        const entry = await calendar("release", payload)
        if (release.draft || release.published_at === null) {
          expect(entry).toBeUndefined()
          continue
        }
        expect(entry?.subject).toBe(`release-${release.id}@github.com`)
        expect(entry?.lines).toEqual(
          expect.arrayContaining(["BEGIN:VEVENT", `DTSTART;VALUE=DATE:${release.published_at.slice(0, 10).replaceAll("-", "")}`]),
        )
        expect(entry?.lines.find((line) => line.startsWith("SUMMARY:"))).toContain(repository.full_name)
        expect(entry?.lines).toContain(payload.action === "deleted" ? "STATUS:CANCELLED" : "STATUS:CONFIRMED")
      }
    })

    test("a milestone is on the day it is due", async () => {
      const all = payloads("milestone")
      expect(all.length).toBeGreaterThan(2)
      for (const payload of all) {
        const entry = await calendar("milestone", payload)
        const { due_on, title } = payload.milestone as NonNullable<Payload["milestone"]>
        if (due_on === null) expect(entry).toBeUndefined()
        else
          expect(entry?.lines.join("\n")).toMatch(
            new RegExp(`DTSTART;VALUE=DATE:${due_on.slice(0, 10).replaceAll("-", "")}\\nSUMMARY:.*${title}`),
          )
      }
    })

    test("text is escaped and folded between characters", async () => {
      const payload = structuredClone(payloads("release").find(({ release }) => release?.published_at && !release.draft)) as unknown as {
        action: string
        release: Record<string, unknown>
      }
      payload.action = "published"
      payload.release.name = "äöü, \\ and; ".repeat(10)
      payload.release.body = "one\r\ntwo\nthree"
      const entry = await calendar("release", payload)
      expect(entry?.lines.find((line) => line.startsWith("SUMMARY:"))).toContain("äöü\\, \\\\ and\\; ".repeat(10))
      expect(entry?.lines).toContain("DESCRIPTION:one\\ntwo\\nthree")
    })

    test("what is no payload is refused for good", async () => {
      await expect(calendar("release", { release: { published_at: "yesterday" }, repository: {} })).rejects.toMatchObject({
        code: "invalid_argument",
        reason: "INVALID_EVENT",
      })
      await expect(calendar("release", "text")).rejects.toMatchObject({ code: "invalid_argument", message: "the event has no payload" })
    })
  })
}
