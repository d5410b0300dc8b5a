import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { findOnPath } from "@fn/process"
import { type FnDev, startFnDev } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"

jest.setTimeout(300_000)

const require = createRequire(import.meta.url)
const examples = require("@octokit/webhooks-examples") as { name: string; description: string; actions: string[] }[]

if (findOnPath("dotnet") === undefined) {
  test(".NET is needed", () => {
    console.warn("SKIPPED: needs dotnet: the C# example csv-rows was neither built nor run")
  })
} else {
  describe("R-FN-6: a function in C#, on a table of GitHub's events", () => {
    let fn: FnDev
    let client: Client

    beforeAll(async () => {
      const program = join(dirname(require.resolve("@fn/cli/package.json")), "dist/main.js")
      fn = await startFnDev({ program, folders: [fileURLToPath(new URL("..", import.meta.url))], timeoutMs: 240_000 })
      client = await connectClient({ servers: fn.nats })
    })
    afterAll(async () => {
      await client?.close()
      await fn?.[Symbol.asyncDispose]()
    })

    async function rows(csv: string): Promise<unknown[]> {
      const events = await client.invoke(
        "csv-rows",
        { type: "com.example.csv", datacontenttype: "text/csv", data: csv },
        { timeoutMs: 30_000 },
      )
      for (const event of events) expect(event).toMatchObject({ type: "com.example.csv.row", source: "/functions/default/csv-rows" })
      return events.map(({ data }) => data)
    }

    test("every row is an event, whatever its fields hold", async () => {
      const table = examples.map(({ name, description, actions }) => ({ name, description, actions: actions.join("\n") }))
      const quote = (text: string): string => `"${text.replaceAll('"', '""')}"`
      const csv = ["name,description,actions", ...table.map((row) => Object.values(row).map(quote).join(","))].join("\r\n")
      expect(await rows(csv)).toEqual(table)
      expect(await rows("a,b\n1,\n,ü\n")).toEqual([
        { a: "1", b: "" },
        { a: "", b: "ü" },
      ])
      expect(await rows("")).toEqual([])
    })

    test("what is no CSV is refused for good", async () => {
      await expect(rows('a\n"b')).rejects.toMatchObject({
        code: "invalid_argument",
        reason: "INVALID_EVENT",
        message: "a quoted field has no end",
      })
      await expect(rows("a,b\n1\n")).rejects.toMatchObject({ message: "row 2 has 1 fields, the head has 2" })
    })
  })
}
