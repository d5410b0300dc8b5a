/** What operators ask of a platform with real executions: fn executions, fn queue, fn dlq. */

import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { type FnDev, type FnOptions, type FnResult, fn, startDev } from "./support/fn.js"
import { type TemporaryFolder, temporaryFolder } from "./support/folder.js"
import { ECHO, moduleFunction } from "./support/functions.js"
import { fnInProcess } from "./support/in-process.js"

jest.setTimeout(120_000)

const BROKEN = `throw new Error("no such account in the books of this year or of any other")`
const ONCE = "retry: { attempts: 1 }\n"
const WIDEST = 100

let folder: TemporaryFolder
let dev: FnDev

beforeAll(async () => {
  folder = await temporaryFolder({
    ...moduleFunction("echo", ECHO, "version: 1.0.0\nrecord: all\n"),
    ...moduleFunction("poison", BROKEN, `version: 1.0.0\n${ONCE}`),
    ...moduleFunction("other", BROKEN, `version: 1.0.0\nnamespace: team\n${ONCE}`),
    ...moduleFunction("later", ECHO),
  })
  dev = await startDev([], { cwd: folder.path })
  expect(await run(["deploy", "echo", "poison", "other", "later"])).toMatchObject({ code: 0 })
})

afterAll(async () => {
  await dev?.[Symbol.asyncDispose]()
  await folder?.[Symbol.asyncDispose]()
})

/** Runs `fn` on the platform under test, in this process. */
function run(args: readonly string[], options: Partial<FnOptions> = {}): Promise<FnResult> {
  return fnInProcess(args, { cwd: folder.path, ...options, env: { FN_NATS_URL: dev.nats, ...options.env } })
}

/** Stores an invocation; its id. */
async function store(ref: string, data: string, more: readonly string[] = []): Promise<string> {
  const stored = await run(["invoke", ref, "--async", "--data", data, ...more])
  expect(stored).toMatchObject({ code: 0 })
  return stored.stdout.trim()
}

/** Stores invocations that end as dead letters; the letters, newest first. */
async function kill(ref: string, count: number): Promise<{ seq: number; invocationId: string }[]> {
  const ids = await Promise.all(Array.from({ length: count }, (_, i) => store(ref, `{"n":${i}}`)))
  return until(
    async () => {
      const listed = (await run(["dlq", "list", ref, "--json"])).json<{ deadLetters: { seq: number; invocationId: string }[] }>()
      const ours = listed.deadLetters.filter(({ invocationId }) => ids.includes(invocationId))
      return ours.length === count && ours
    },
    { name: `${count} dead letters of ${ref}`, timeoutMs: 60_000 },
  )
}

function widest(text: string): number {
  return Math.max(...text.split("\n").map((line) => line.length))
}

describe("R-IV-5: fn executions", () => {
  test("shows what ran, newest first, by function and status, page by page", async () => {
    const first = await store("echo", "1")
    await run(["result", first])
    const second = await store("echo", "2")
    await run(["result", second])
    expect((await run(["invoke", "poison"])).code).toBe(1)

    type Page = { executions: { id: string; status: string; name: string }[]; hasMore: boolean; startAfter?: string }
    const listed = await until(
      async () => {
        const page = (await run(["executions", "echo", "--json"])).json<Page>()
        return page.executions.length === 2 && page
      },
      { name: "both records", timeoutMs: 20_000 },
    )
    expect(listed).toMatchObject({
      hasMore: false,
      executions: [
        { id: second, status: "succeeded" },
        { id: first, durable: true },
      ],
    })
    const page = (await run(["executions", "echo", "--limit", "1", "--json"])).json<Page>()
    expect(page).toMatchObject({ hasMore: true, executions: [{ id: second }] })
    const rest = await run(["executions", "echo", "--start-after", page.startAfter ?? "", "--json"])
    expect(rest.json<Page>()).toMatchObject({ hasMore: false, executions: [{ id: first }] })

    const failed = (await run(["executions", "--status", "failed", "--json"])).json<Page>()
    expect(failed.executions.map(({ name }) => name)).toContain("poison")
    expect(failed.executions.every(({ status }) => status === "failed")).toBe(true)
    expect((await run(["executions", "--namespace", "nobody", "--json"])).json()).toEqual({ executions: [], hasMore: false })

    const table = await run(["executions", "--limit", "2"])
    expect(table.stdout).toMatch(/^ENDED \(UTC\) +STATUS +TRY +TOOK +FUNCTION +ID\n/)
    expect(table.stderr).toMatch(/^there are more: --start-after \S+\n$/)
    const all = await run(["executions"])
    expect(all.stdout).toMatch(new RegExp(`^\\d\\d-\\d\\d [\\d:]{8} +succeeded +1 +[\\d.]+ m?s +echo@1\\.0\\.0 +${first}$`, "m"))
    expect(all.stdout).toMatch(/FUNCTION_THREW +1 .* poison@1\.0\.0/)
    expect(widest(all.stdout)).toBeLessThanOrEqual(WIDEST)
  })

  test("says what is wrong with a question, by exit code too", async () => {
    for (const args of [
      ["--status", "running"],
      ["--limit", "0"],
      ["--start-after", "!"],
      ["echo@1.0.0"],
      ["No Name"],
      ["--limit", "5000"],
    ])
      expect(await run(["executions", ...args, "--json"])).toMatchObject({ code: 2 })
    expect(await run(["executions"], { env: { FN_PREFIX: "other" } })).toMatchObject({
      code: 4,
      stderr: expect.stringContaining("fn setup"),
    })
    expect((await run(["executions", "nobody"])).stdout).toBe("no such executions are kept\n")
  })
})

describe("OB-1: fn queue", () => {
  test("shows what waits, by function", async () => {
    const ids = await Promise.all(["1", "2"].map((data) => store("later", data, ["--delay", "1h"])))
    const stats = (await run(["queue", "later", "--json"])).json<{ messages: number; functions: { depth: number }[] }>()
    expect(stats).toMatchObject({ functions: [{ namespace: "default", name: "later", depth: 2, oldestAgeMs: expect.any(Number) }] })
    expect(stats.messages).toBeGreaterThanOrEqual(2)
    const { stdout } = await run(["queue"])
    expect(stdout).toMatch(/^FUNCTION +DEPTH +PENDING +DELIVERED +REDELIVERED +OLDEST\n/)
    expect(stdout).toMatch(/^later +2 +\d +\d +\d +\d+ s$/m)
    expect(stdout).toMatch(/^\d+ in the queue, .* of /m)
    expect(widest(stdout)).toBeLessThanOrEqual(WIDEST)
    for (const id of ids) expect((await run(["cancel", id])).code).toBe(0)
    expect((await run(["queue", "nobody"])).stdout).toMatch(/^nothing waits here\n/)
    expect(await run(["queue", "later@1.0.0"])).toMatchObject({ code: 2 })
  })
})

describe("R-IV-8: fn dlq", () => {
  test("a poison event is listed and shown; after a fix it is redriven, and succeeds under a new id", async () => {
    const [letter] = await kill("poison", 1)
    const number = String(letter?.seq)
    const { stdout } = await run(["dlq", "ls", "poison"])
    expect(stdout).toMatch(/^NUMBER +GIVEN UP \(UTC\) +FUNCTION +REASON +TRY +ERROR\n/)
    expect(stdout).toMatch(
      new RegExp(`^${number} +\\d\\d-\\d\\d [\\d:]{8} +poison +FUNCTION_THREW +1 +no such account in the books of th.*…$`, "m"),
    )
    expect(widest(stdout)).toBeLessThanOrEqual(WIDEST)
    expect((await run(["dlq", "show", number, "--json"])).json()).toMatchObject({
      seq: letter?.seq,
      invocationId: letter?.invocationId,
      reason: "FUNCTION_THREW",
      attempts: 1,
      queuedAt: expect.stringMatching(/^20/),
      event: { specversion: "1.0", source: "/fn/cli", data: { n: 0 } },
    })
    expect((await run(["dlq", "show", number])).stdout).toMatch(
      /^dead letter \d+: poison\ninvocation: [\s\S]*reason: FUNCTION_THREW \(unknown\), 1 attempt\n[\s\S]*event:\n[\s\S]*"n": 0/,
    )

    await folder.write({ ...moduleFunction("poison", ECHO, `version: 2.0.0\n${ONCE}`) })
    expect(await run(["deploy", "poison"])).toMatchObject({ code: 0 })
    const { redriven } = (await run(["dlq", "redrive", number, "--json"])).json<{ redriven: { invocationId: string }[] }>()
    expect(redriven).toMatchObject([{ seq: letter?.seq, redrivenFrom: letter?.invocationId }])
    expect((await run(["result", redriven[0]?.invocationId ?? "", "--json"])).json()).toMatchObject({ events: [{ data: { n: 0 } }] })
    expect(await run(["dlq", "show", number])).toMatchObject({ code: 3, stderr: expect.stringContaining("DEAD_LETTER_NOT_FOUND") })
    expect(await run(["dlq", "redrive", number])).toMatchObject({ code: 3 })
  })

  test("filters and --all want a yes where there is nobody to ask, and take what they say", async () => {
    const letters = await kill("team/other", 3)
    expect(await run(["dlq", "redrive", "team/other"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/NOT_CONFIRMED[\s\S]*--yes/),
    })
    expect(await run(["dlq", "purge", String(letters[0]?.seq)])).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("NOT_CONFIRMED"),
    })
    expect((await run(["dlq", "purge", String(letters[0]?.seq), "-y", "--json"])).json()).toEqual({ purged: 1 })
    expect((await run(["dlq", "redrive", "team/other", "--older-than", "1h", "--yes"])).stdout).toBe("no dead letters to redrive\n")
    const again = await run(["dlq", "redrive", "other", "--namespace", "team", "--reason", "FUNCTION_THREW", "--yes"])
    expect(again.stdout).toMatch(/^NUMBER +FUNCTION +NEW ID\n(\d+ +team\/other +[A-Za-z0-9_-]{22}\n){2}$/)
    // The function is as broken as it was.
    await until(
      async () => (await run(["dlq", "list", "team/other", "--json"])).json<{ deadLetters: unknown[] }>().deadLetters.length === 2,
      {
        name: "the new letters",
        timeoutMs: 60_000,
      },
    )
    expect((await run(["dlq", "purge", "--namespace", "team", "--yes"])).stdout).toBe("purged 2 dead letters\n")
    expect((await run(["dlq", "purge", "--all", "--yes", "--json"])).json()).toEqual({ purged: expect.any(Number) })
    expect((await run(["dlq", "list"])).stdout).toBe("no dead letters here\n")
  })

  test("what makes no sense is refused before anything happens, exit code 2", async () => {
    for (const args of [
      ["redrive"],
      ["purge", "--yes"],
      ["redrive", "1", "echo"],
      ["redrive", "1", "--all"],
      ["purge", "1", "--reason", "X", "--yes"],
      ["purge", "echo", "--all", "--yes"],
      ["redrive", "echo", "poison", "--yes"],
      ["redrive", "0"],
      ["show", "x"],
      ["list", "--older-than", "soon"],
    ])
      expect([args, (await run(["dlq", ...args, "--json"])).code]).toEqual([args, 2])
    expect((await run(["dlq"])).code).toBe(2)
  })

  test("the verbs are in the help, each with its flags, as a process of its own too", async () => {
    const help = await fn(["--help"], { cwd: folder.path })
    for (const verb of ["executions", "queue", "dlq"]) expect(help.stdout).toMatch(new RegExp(`^ +${verb}\\b`, "m"))
    const dlq = await fn(["dlq", "--help"], { cwd: folder.path })
    expect(dlq).toMatchObject({ code: 0, stdout: expect.stringMatching(/list[\s\S]*show[\s\S]*redrive[\s\S]*purge/) })
    expect((await run(["dlq", "redrive", "--help"])).stdout).toMatch(/--all[\s\S]*--yes[\s\S]*--reason[\s\S]*--older-than[\s\S]*--nats-url/)
  })
})
