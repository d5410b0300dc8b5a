import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"
import { type TempDir, tempDir } from "@fn/testing"
import { afterAll, beforeAll, describe, test } from "@jest/globals"
import { type LabelerPlugin, labelsLikeTypeScript, startLabelerPlugin } from "../../issue-labeler/test/contract.js"

const go = findOnPath("go")
const cwd = fileURLToPath(new URL("..", import.meta.url))
let folder: TempDir
let labeler: LabelerPlugin

async function runGo(...args: string[]): Promise<void> {
  const env = { ...(process.env as Record<string, string>), CGO_ENABLED: "0" }
  const child = spawnChild({ command: go as string, args, cwd, env })
  const output: string[] = []
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
  if ((await child.exited).code !== 0) throw new Error(`go ${args.join(" ")}: ${output.join("")}`)
}

if (!go) {
  test("the Go toolchain is needed", () => {
    console.warn("SKIPPED: needs go: the Go example issue-labeler-go was neither built nor run")
  })
} else {
  describe("R-FN-6, R-PL-3: a Go plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      folder = await tempDir("fn-go-")
      await runGo("build", "-buildvcs=false", "-o", folder.file("labeler"), ".")
      labeler = await startLabelerPlugin("go", [folder.file("labeler")])
    }, 240_000)
    afterAll(async () => {
      await labeler?.close()
      await folder?.[Symbol.asyncDispose]()
    })

    labelsLikeTypeScript(() => labeler)

    test("its own tests pass", () => runGo("test", "./..."), 240_000)
  })
}
