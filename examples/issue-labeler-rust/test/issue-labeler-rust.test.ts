import { fileURLToPath } from "node:url"
import { findRust } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { type LabelerPlugin, labelsLikeTypeScript, startLabelerPlugin } from "../../issue-labeler/test/contract.js"

const rust = findRust()
const source = fileURLToPath(new URL("..", import.meta.url))
let labeler: LabelerPlugin

if (!rust) {
  test("the Rust toolchain is needed", () => {
    console.warn("SKIPPED: needs cargo: the Rust example issue-labeler-rust was neither built nor run")
  })
} else {
  describe("R-FN-6, R-PL-3: a Rust plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      labeler = await startLabelerPlugin("rust", [await rust.build(source, "issue-labeler-rust")])
    }, 480_000)
    afterAll(() => labeler?.close())

    labelsLikeTypeScript(() => labeler)

    test("its own tests pass", async () => expect(await rust.test(source)).toMatch(/2 passed/), 480_000)
  })
}
