import { createRequire } from "node:module"
import { testFunction } from "@fn/plugin-sdk/testing"
import { expect, test } from "@jest/globals"
import { redact } from "../functions.mjs"

const webhooks = createRequire(import.meta.url)("@octokit/webhooks-examples") as { name: string; examples: unknown[] }[]

test("R-FN-6: no e-mail address of a real push survives, and nothing else changes", async () => {
  await using fn = await testFunction(redact)
  const push = webhooks.find(({ name }) => name === "push")?.examples[0]
  const [out] = await fn.invoke({ type: "com.github.push", data: push })
  expect(JSON.stringify(push)).toMatch(/[\w.]+@[\w]+\.\w/)
  expect(JSON.stringify(out?.data)).not.toMatch(/[A-Za-z0-9]@[A-Za-z0-9]/)
  expect(Object.keys(out?.data as object)).toEqual(Object.keys(push as object))
})
