import { fileURLToPath } from "node:url"
import { spawnChild } from "@fn/process"
import { findPython } from "@fn/testing"
import { afterAll, beforeAll, describe, test } from "@jest/globals"
import { type LabelerPlugin, labelsLikeTypeScript, startLabelerPlugin } from "../../issue-labeler/test/contract.js"

const python = findPython()
const source = fileURLToPath(new URL("..", import.meta.url))
let labeler: LabelerPlugin

if (!python) {
  test("Python and the packages of its SDK are needed", () => {
    console.warn("SKIPPED: needs grpcio: the Python example issue-labeler-python was not run (npm run setup)")
  })
} else {
  describe("R-FN-6, R-PL-3: a Python plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      labeler = await startLabelerPlugin("python", python.command(`${source}main.py`))
    }, 60_000)
    afterAll(() => labeler?.close())

    labelsLikeTypeScript(() => labeler)

    test("its own tests pass", async () => {
      const args = ["-m", "unittest", "discover", "-s", "tests"]
      const child = spawnChild({ command: python.executable, args, cwd: source, env: { PYTHONDONTWRITEBYTECODE: "1" } })
      const output: string[] = []
      for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
      if ((await child.exited).code !== 0) throw new Error(output.join(""))
    })
  })
}
