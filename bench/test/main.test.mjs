import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { expect, test } from "@jest/globals"

const MAIN = join(import.meta.dirname, "../main.mjs")

function runMain(args) {
  return spawnSync(process.execPath, [MAIN, ...args], { encoding: "utf8" })
}

test("a run of some rows measures them and their references over real processes, and writes them as JSON", () => {
  const folder = mkdtempSync(join(tmpdir(), "fn-bench-test-"))
  try {
    const file = join(folder, "result.json")
    const run = runMain(["--only", "builtin,http-*", "--rounds", "1", "--round-ms", "50", "--json", file])
    expect(run).toMatchObject({ status: 0 })
    const rows = JSON.parse(readFileSync(file, "utf8"))
    expect(rows.map(({ name }) => name)).toEqual(["builtin", "http-builtin", "raw-echo", "http-echo"])
    const number = expect.any(Number)
    for (const row of rows)
      expect(row).toMatchObject({
        reference: expect.any(String),
        throughput: number,
        p50us: number,
        p99us: number,
        machine: expect.any(String),
        failed: null,
      })
    expect(rows[0]).toMatchObject({
      ratio: number,
      cpuUsPerCall: { client: number, nats: number, runtime: number },
      rssMb: { client: number, runtime: number },
    })
    expect(rows[1].cpuUsPerCall).toMatchObject({ gateway: number })
    expect(run.stdout).toContain("shortened by --rounds 1 --round-ms 50, so these are no figures to quote")
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}, 120_000)

test("a row that nobody knows is an error, and so is a number that is none", () => {
  expect(runMain(["--only", "bultin"])).toMatchObject({ status: 1, stderr: expect.stringContaining("no row is called bultin") })
  expect(runMain(["--rounds", "many"])).toMatchObject({ status: 1, stderr: expect.stringContaining("--rounds must be a number above 0") })
}, 60_000)
