import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { afterEach, beforeEach, expect, test } from "@jest/globals"

let folder
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "fn-soak-"))
})
afterEach(() => rmSync(folder, { recursive: true }))

/** What `soak` resolves to for the files in `folder`, in a process of its own: its progress goes to stderr. */
function runSoak(options = {}) {
  const soakUrl = pathToFileURL(join(import.meta.dirname, "soak.mjs")).href
  const program = `import { soak } from ${JSON.stringify(soakUrl)}; console.log(JSON.stringify(await soak(${JSON.stringify({ folder, ...options })})))`
  const { stdout, stderr } = spawnSync(process.execPath, ["--input-type=module", "-e", program], { encoding: "utf8" })
  return { outcomes: JSON.parse(stdout), stderr }
}

test("every soak file is run with the scale, its figures are printed, its counts returned", () => {
  writeFileSync(
    join(folder, "calls.soak.mjs"),
    `export const name = "calls"
     export const run = async ({ scale, log }) => { log("working"); return { passed: scale * 100, failed: 0, figures: { calls: scale * 100 } } }`,
  )
  const { outcomes, stderr } = runSoak({ scale: 0.1 })
  expect(outcomes).toEqual([{ name: "calls", passed: 10, failed: 0, figures: { calls: 10 }, durationMs: expect.any(Number) }])
  expect(stderr).toContain("working")
  expect(stderr).toContain("calls: 10")
})

test("a soak test that throws has failed, and the others run all the same", () => {
  writeFileSync(join(folder, "a.soak.mjs"), `export const name = "a"; export const run = () => { throw new Error("lost a call") }`)
  writeFileSync(join(folder, "b.soak.mjs"), `export const name = "b"; export const run = () => ({ passed: 1, failed: 0, figures: {} })`)
  const { outcomes, stderr } = runSoak()
  expect(outcomes.map(({ passed, failed }) => [passed, failed])).toEqual([
    [0, 1],
    [1, 0],
  ])
  expect(stderr).toContain("lost a call")
})

test("words choose files", () => {
  writeFileSync(join(folder, "a.soak.mjs"), `export const name = "a"; export const run = () => ({ passed: 1, failed: 0, figures: {} })`)
  expect(runSoak({ words: ["nothing"] }).outcomes).toEqual([])
})
