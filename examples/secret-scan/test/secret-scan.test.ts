import { execFileSync } from "node:child_process"
import { existsSync } from "node:fs"
import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { findOnPath } from "@fn/process"
import { type FnDev, startFnDev, tempDir } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(300_000)

const require = createRequire(import.meta.url)
const examples = require("@octokit/webhooks-examples") as { name: string; examples: unknown[] }[]
const source = fileURLToPath(new URL("..", import.meta.url))
// In two pieces, so that scanners of this very repository find nothing.
const TOKEN = ["ghp_", "x7Qm2LpZ9vKc4RtW8yBn3HsD6fJg1EaU5oTi"].join("")
const KEY = ["AKIA", "Q3EGRIZ2UYX7P5NM"].join("")

/** Whether this machine's Rust can build for WASI. */
function hasRust(): boolean {
  if (findOnPath("cargo") === undefined) return false
  try {
    return existsSync(execFileSync("rustc", ["--print", "target-libdir", "--target", "wasm32-wasip1"], { encoding: "utf8" }).trim())
  } catch {
    return false // a Rust that has never heard of it
  }
}

if (!hasRust()) {
  test("Rust for WASI is needed", () => {
    console.warn("SKIPPED: needs wasm32-wasip1: the Rust example secret-scan was neither built nor run")
  })
} else {
  describe("R-FN-6, R-PL-8: a function in Rust as WebAssembly, on GitHub's example payloads", () => {
    let fn: FnDev
    let client: Client

    beforeAll(async () => {
      const program = join(dirname(require.resolve("@fn/cli/package.json")), "dist/main.js")
      fn = await startFnDev({ program, folders: [source] })
      client = await connectClient({ servers: fn.nats })
    })
    afterAll(async () => {
      await client?.close()
      await fn?.[Symbol.asyncDispose]()
    })

    async function scan(data: string | Uint8Array, datacontenttype = "text/plain"): Promise<unknown[]> {
      const events = await client.invoke("secret-scan", { type: "com.example.text", datacontenttype, data }, { timeoutMs: 20_000 })
      for (const event of events)
        expect(event).toMatchObject({ type: "com.example.secret.found", source: "/functions/default/secret-scan" })
      return events.map(({ data }) => data)
    }

    test("its own tests pass", async () => {
      await using target = await tempDir()
      const env = { ...process.env, CARGO_TARGET_DIR: target.path }
      expect(
        execFileSync("cargo", ["test", "--offline"], { cwd: source, env, encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] }),
      ).toContain("3 passed")
    })

    test("real payloads have no secrets in them but the key ids in addresses that GitHub has signed", async () => {
      const payloads = examples.flatMap(({ examples }) => examples.slice(0, 2)).map((payload) => JSON.stringify(payload, null, 1))
      expect(payloads.length).toBeGreaterThan(80)
      const found: string[] = []
      for (const payload of payloads) {
        const lines = payload.split("\n")
        for (const finding of (await scan(payload)) as { rule: string; line: number }[]) {
          expect(finding.rule).toBe("aws-access-key")
          found.push(lines[finding.line - 1] as string)
        }
      }
      expect(found.length).toBeGreaterThan(0)
      for (const line of found) expect(line).toContain("X-Amz-Credential=")
    })

    test("one that somebody pushed is found, told by place and kind, and does not leave itself", async () => {
      const push = examples.find(({ name }) => name === "push")?.examples[0] as object
      const text = JSON.stringify({ ...push, leaked: `token ${TOKEN}` }, null, 1)
      const line = text.split("\n").findIndex((each) => each.includes(TOKEN)) + 1
      const found = await scan(text)
      expect(found).toEqual([{ rule: "github-token", line, column: expect.any(Number), secret: "ghp_x7…" }])
      expect(JSON.stringify(found)).not.toContain(TOKEN)
      expect(await scan(`+key = "${KEY}"\n+token = ${TOKEN}\n`)).toMatchObject([
        { rule: "aws-access-key", line: 1, column: 9 },
        { rule: "github-token", line: 2 },
      ])
    })

    test("what is no text is refused for good", async () => {
      await expect(scan(Buffer.from([0xff, 0xfe, 0x00]), "application/octet-stream")).rejects.toMatchObject({
        code: "invalid_argument",
        message: "the data is no UTF-8 text",
      })
    })
  })
}
