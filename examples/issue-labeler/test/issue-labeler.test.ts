import { createRequire } from "node:module"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { type Client, connectClient } from "@fn/client"
import { type FnDev, startFnDev } from "@fn/testing"
import { afterAll, beforeAll, describe, jest } from "@jest/globals"
import { labelsLikeTypeScript } from "./contract.js"

jest.setTimeout(180_000)

const folder = (path: string): string => fileURLToPath(new URL(path, import.meta.url))
const require = createRequire(import.meta.url)
const program = join(dirname(require.resolve("@fn/cli/package.json")), "dist/main.js")
let fn: FnDev
let client: Client

beforeAll(async () => {
  fn = await startFnDev({ program, folders: [folder(".."), folder("as-plugin")] })
  client = await connectClient({ servers: fn.nats })
})
afterAll(async () => {
  await client?.close()
  await fn?.[Symbol.asyncDispose]()
})

describe.each([
  ["a module", "issue-labeler"],
  ["a plugin", "issue-labeler-plugin"],
])("R-FN-6, R-PL-3: the TypeScript function on a host, as %s", (_what, name) => {
  labelsLikeTypeScript(() => ({
    config: { without: [] },
    label: ({ type, payload }) => client.invoke(name, { type, source: "https://github.com/o/r", data: payload }, { timeoutMs: 60_000 }),
  }))
})
