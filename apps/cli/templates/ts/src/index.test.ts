import assert from "node:assert/strict"
import { test } from "node:test"
import { testFunction } from "@fn/plugin-sdk/testing"
import greet from "./index.js"

test("greets by name, and the world when there is none", async () => {
  await using tested = await testFunction(greet, { config: { greeting: "Ahoy" } })
  assert.deepEqual(
    (await tested.invoke({ name: "Ada" })).map((event) => event.data),
    [{ text: "Ahoy, Ada!" }],
  )
  assert.deepEqual(
    (await tested.invoke(undefined)).map((event) => event.data),
    [{ text: "Ahoy, world!" }],
  )
})
