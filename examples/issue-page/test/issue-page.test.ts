import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { findOnPath } from "@fn/process"
import { type FnDev, startFnDev } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(180_000)

interface Subject {
  readonly number: number
  readonly title: string
  readonly labels?: readonly { readonly name: string }[]
}
interface Payload {
  readonly action: string
  readonly issue?: Subject
  readonly pull_request?: Subject
  readonly repository: { readonly full_name: string }
}

const require = createRequire(import.meta.url)
const examples = require("@octokit/webhooks-examples") as { name: string; examples: Payload[] }[]
const payloads = (name: string): Payload[] => examples.find((entry) => entry.name === name)?.examples ?? []

if (findOnPath("php") === undefined) {
  test("PHP is needed", () => {
    console.warn("SKIPPED: needs php: the PHP example issue-page was not run")
  })
} else {
  describe("R-FN-6: a function in PHP, on GitHub's example payloads", () => {
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

    async function page(kind: string, payload: unknown): Promise<{ subject: string; html: string }> {
      const [event, ...more] = await client.invoke(
        "issue-page",
        { type: `com.github.${kind}.opened`, data: payload },
        { timeoutMs: 20_000 },
      )
      expect([event?.type, event?.datacontenttype, more]).toEqual(["com.example.page", "text/html", []])
      return { subject: event?.subject as string, html: event?.data as string }
    }

    test.each([
      ["issues", "issue"],
      ["pull_request", "pull_request"],
    ] as const)("every example of %s is a page with its title and labels", async (kind, key) => {
      const all = payloads(kind)
      expect(all.length).toBeGreaterThan(20)
      for (const payload of all) {
        const about = payload[key] as Subject
        const { subject, html } = await page(kind, payload)
        expect(subject).toBe(`${payload.repository.full_name}#${about.number}`)
        expect(html).toMatch(/^<!doctype html>\n<html lang="en">[\s\S]*<\/html>\n$/)
        for (const text of [about.title, ...(about.labels ?? []).map(({ name }) => name)]) expect(html).toContain(escaped(text))
      }
    })

    test("what people write is text, never markup", async () => {
      const [payload] = payloads("issues") as [Payload]
      const nasty = `<script>alert("1")</script> & 'ü'`
      const issue = {
        ...payload.issue,
        title: nasty,
        body: `${nasty}\r\n\r\nsecond\nline`,
        html_url: "javascript:alert(1)",
        labels: [{ name: nasty, color: "red;x" }],
      }
      const { html } = await page("issues", { ...payload, issue })
      expect(html).not.toMatch(/<script|javascript:|red;x/)
      expect(html.split(escaped(nasty)).length).toBe(5)
      expect(html).toContain("<p>second<br>\nline</p>")
    })

    test("what is no payload is refused for good", async () => {
      await expect(page("issues", { action: "opened" })).rejects.toMatchObject({
        code: "invalid_argument",
        reason: "INVALID_EVENT",
        message: expect.stringContaining("neither an issue nor a pull request"),
      })
    })
  })
}

function escaped(text: string): string {
  return text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;").replaceAll('"', "&quot;").replaceAll("'", "&apos;")
}
