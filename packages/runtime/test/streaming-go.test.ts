/** Streams of a plugin written with the Go SDK. */
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, jest, test } from "@jest/globals"
import { go, runGo } from "./plugin/go-program.js"
import { streamContract } from "./streaming/stream-contract.js"

jest.setTimeout(30_000)

const folder = mkdtempSync(join(tmpdir(), "fn-go-streams-"))
const program = join(folder, "go-streams")
const source = fileURLToPath(new URL("./streaming/fixtures/go-streams", import.meta.url))

if (!go) {
  test("the Go toolchain is needed", () => {
    console.warn("SKIPPED: needs go: streams of a plugin written in Go were neither built nor run")
  })
} else {
  beforeAll(() => runGo(["build", "-trimpath", "-o", program, "."], source), 240_000)
  afterAll(() => rmSync(folder, { recursive: true, force: true }))

  // The language is that of the subject: one contract calls all of them by the same.
  streamContract("as a plugin in Go", { deploy: (host) => host.deployPlugin("streams", [program]) })
}
