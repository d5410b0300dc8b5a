import { startTestServer } from "@fn/testing"
import { expect, test } from "@jest/globals"
import { setUpStores } from "./dev-stores.js"

const account = (maxFile: string): string =>
  `accounts { APP { jetstream { max_mem: 1MB, max_file: ${maxFile} }, users: [ { user: app, password: app } ] } }`

test("on a disk with little room the stores are small, and that is said", async () => {
  await using server = await startTestServer({ config: account("1200MB") })
  const nc = await server.connect({ user: "app", password: "app" })
  const warnings: string[] = []
  await setUpStores(nc, {}, (text) => warnings.push(text))
  expect(warnings).toEqual([expect.stringContaining("128 MiB")])
})

test("where there is room nothing is said, and where there is none at all it ends", async () => {
  await using server = await startTestServer()
  const warnings: string[] = []
  await setUpStores(await server.connect(), {}, (text) => warnings.push(text))
  expect(warnings).toEqual([])
  await using tiny = await startTestServer({ config: account("10MB") })
  const nc = await tiny.connect({ user: "app", password: "app" })
  await expect(setUpStores(nc, {}, (text) => warnings.push(text))).rejects.toMatchObject({ reason: "STORAGE_FULL" })
})
