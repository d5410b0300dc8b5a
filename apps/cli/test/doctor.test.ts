/** fn doctor: what it finds on a machine as it is, and on ones that lack something. */
import { setupPlatform } from "@fn/registry"
import { startTestServer } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import type { DoctorReport } from "../src/doctor/report.js"
import type { FnResult } from "./support/fn.js"
import { type TemporaryFolder, temporaryFolder } from "./support/folder.js"
import { fnInProcess } from "./support/in-process.js"

jest.setTimeout(120_000)

const GUARANTEES = ["memory", "pids", "cpu", "cpuTime", "handles", "files", "network", "syscalls", "user", "kill"]
const isLinux = process.platform === "linux"
if (!isLinux) console.warn("SKIPPED: needs linux: what fn doctor says of isolation")
const linuxTest = isLinux ? test : test.skip

let folder: TemporaryFolder
beforeAll(async () => {
  folder = await temporaryFolder()
})
afterAll(async () => {
  await folder?.[Symbol.asyncDispose]()
})

function doctor(args: readonly string[], env: Readonly<Record<string, string>> = {}): Promise<FnResult> {
  return fnInProcess(["doctor", ...args], { cwd: folder.path, env })
}

describe("R-PL-6: fn doctor", () => {
  linuxTest("grades each guarantee of each level by what was tried, and fails for nothing that was not required", async () => {
    const { code, json } = await doctor(["--json"])
    const report = json<DoctorReport>()
    expect([code, report.ok, report.required]).toEqual([0, true, []])
    for (const level of ["process", "sandbox"] as const) {
      expect(Object.keys(report.isolation.grades[level])).toEqual(GUARANTEES)
      for (const { grade, mechanism, reason } of Object.values(report.isolation.grades[level])) {
        expect(["hard", "soft", "absent"]).toContain(grade)
        expect(mechanism).not.toBe("")
        if (grade !== "hard") expect(reason).toMatch(/\w{3}/)
      }
    }
    for (const { available, reason } of Object.values(report.isolation.mechanisms))
      expect([typeof available, reason]).toEqual(["boolean", expect.stringMatching(/\w{3}/)])
    expect(report.isolation.strictProblem === undefined).toBe(report.isolation.lacks.sandbox.length === 0)
    expect(report.languages.find(({ language }) => language === "js")).toMatchObject({ found: { node: process.versions.node }, lacks: [] })
    expect(report.nats).toBeUndefined()
  })

  linuxTest("names the remedy where there is no bubblewrap, and fails if sandboxes are required", async () => {
    const bare = ["--isolation-bubblewrap", "/nonexistent/bwrap"]
    const shown = await doctor(bare)
    expect(shown).toMatchObject({ code: 0, stderr: "" })
    expect(shown.stdout).toMatch(/✗ policy strict: .*\n.*why: .*files.*\/nonexistent\/bwrap/)
    expect(shown.stdout).toMatch(/^Next(.|\n)*apt-get install bubblewrap for sandboxes/m)
    const required = await doctor([...bare, "--require", "sandbox,js", "--json"])
    expect([required.code, required.json<DoctorReport>()]).toMatchObject([
      1,
      {
        ok: false,
        isolation: { strictProblem: { reason: "ISOLATION_UNAVAILABLE" }, grades: { sandbox: { files: { grade: "absent" } } } },
        required: [
          { name: "sandbox", met: false, why: expect.stringContaining("apt-get install bubblewrap") },
          { name: "js", met: true },
        ],
      },
    ])
  })

  test("says of each language what is not here and where to get it", async () => {
    const { code, json } = await doctor(["--json", "--require", "go,ruby,wat"], { PATH: folder.path })
    const { languages, required } = json<DoctorReport>()
    expect(code).toBe(1)
    expect(Object.fromEntries(languages.map(({ language, lacks }) => [language, lacks.map(({ remedy }) => remedy)]))).toMatchObject({
      go: [expect.stringContaining("https://go.dev/dl")],
      python: ["apt-get install python3 python3-pip"],
      rust: [expect.stringContaining("https://rustup.rs")],
      ruby: [],
      wat: [],
    })
    expect(required).toEqual([
      { name: "go", met: false, why: expect.stringContaining("https://go.dev/dl") },
      { name: "ruby", met: false, why: expect.stringContaining("apt-get install ruby") },
      { name: "wat", met: true },
    ])
  })

  test("looks at the NATS it is given: whether it answers, has JetStream, and is set up", async () => {
    await using server = await startTestServer()
    const nats = async (url: string) => (await doctor(["--json", "--nats-url", url])).json<DoctorReport>().nats
    expect(await nats("nats://127.0.0.1:1")).toMatchObject({ problem: { reason: "NATS_UNREACHABLE" } })
    expect(await nats(server.url)).toMatchObject({
      version: expect.stringMatching(/^\d+\.\d+/),
      jetstream: true,
      setUp: false,
      problem: { reason: "NOT_SET_UP", remedy: expect.stringContaining("fn setup") },
    })
    await setupPlatform(await server.connect())
    expect(await nats(server.url)).toEqual({ url: server.url, version: expect.any(String), jetstream: true, setUp: true, hosts: [] })
  })

  test("refuses to require what it does not know", async () => {
    expect(await doctor(["--require", "sandbox,magic"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/magic.*it knows sandbox, process, nats, js/),
    })
  })
})
