/** R-SEC-3, R-PL-7: what a hostile or broken command does to a host, and what becomes of it. */
import { readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs"
import type { WireEvent } from "@fn/core"
import { isAlive, tempDir, until, watchChildren } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { createCommandStarter } from "../../src/instances/command/command-starter.js"
import { executionOf, specOf } from "../plugin/support.js"
import { failure, header } from "../test-host.js"
import { type CommandHost, startCommandHost } from "./support.js"

jest.setTimeout(120_000)

let host: CommandHost
let names = 0

beforeAll(async () => {
  host = await startCommandHost({ limits: { cancelGraceMs: 400, outputBytes: 8 * 1024 * 1024 } })
  await host.deployScript("neighbour", 'echo \'{"type":"ok"}\'', { concurrency: 4 })
})
afterAll(async () => {
  await host[Symbol.asyncDispose]()
})

/** Calls `script` while a neighbour is called again and again; every call of the neighbour must succeed. Nothing of the script may be left. */
async function abuse(script: string, headers: Record<string, string> = {}, payload: string | Uint8Array = "{}"): Promise<string> {
  const abuser = `abuser${++names}`
  await host.deployScript(abuser, script)
  await host.call("neighbour")
  const children = watchChildren()
  let over = false
  const neighbours = (async () => {
    const types: (string | undefined)[] = []
    while (!over) types.push(header(await host.call("neighbour"), "ce-type"))
    return types
  })()
  const outcome = await host.call(abuser, payload, headers)
  over = true
  expect(new Set(await neighbours)).toEqual(new Set(["ok"]))
  await children.settled(10_000)
  await until(() => host.runtime.status().running === 0, { name: "every slot to be free" })
  return header(outcome, "Fn-Error-Reason") ?? `events ${header(outcome, "Fn-Events") ?? 1}`
}

const TIMEOUT = { "Fn-Timeout-Ms": "700" }

describe("a command that floods", () => {
  test.each([
    ["stdout with lines", "yes"],
    ["stdout with one endless line", "yes | tr -d '\\n'"],
    ["stdout with empty lines", "yes ''"],
    ["stdout with endless JSON", `printf '{"a":"'; yes | tr -d '\\n'`],
    ["stdout with events", `yes '{"type":"a"}'`],
    ["stdout with brackets", "yes '[' | tr -d '\\n'"],
    ["stderr", "yes >&2"],
    ["/dev/stdout, again and again", "while :; do cat /dev/zero > /dev/stdout; done"],
  ])("%s is stopped at the limit: OUTPUT_LIMIT", async (_, script) => {
    expect(await abuse(script)).toBe("OUTPUT_LIMIT")
  })

  test("what it says to its log beyond ten thousand lines is dropped, and that it was is said", async () => {
    expect(await abuse("yes line | head -c 3000000 >&2")).toBe("events 0")
    expect(host.lines.filter(({ message }) => message === "line")).toHaveLength(10_000)
    expect(
      host.lines.filter(({ message, fields }) => message.includes("is dropped") && fields.functionName === `abuser${names}`),
    ).toHaveLength(1)
  })
})

describe("a command that does not end", () => {
  test.each([
    ["a loop", "while :; do :; done"],
    ["a sleep", "sleep 1000"],
    ["one that ignores SIGTERM", "trap '' TERM; while :; do sleep 0.01; done"],
    ["one whose children ignore it", "trap '' TERM; (trap '' TERM; sleep 1000) & sleep 1000 & wait"],
    ["one that stops itself", "kill -STOP $$"],
    ["one that closed everything", "exec <&- >&- 2>&-; sleep 1000"],
    ["one that waits for more on stdin", "cat; tail -f /dev/null"],
  ])("%s is FUNCTION_TIMEOUT, and its group is gone", async (_, script) => {
    expect(await abuse(script, TIMEOUT)).toBe("FUNCTION_TIMEOUT")
  })

  test("one that ends well on SIGTERM is asked, not killed", async () => {
    await host.deployScript("polite", "trap 'echo goodbye >&2; exit 0' TERM; echo up >&2; while :; do sleep 0.01; done")
    expect(failure(await host.call("polite", "{}", TIMEOUT))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await until(() => host.lines.some(({ message }) => message === "goodbye"), { name: "its last words" })
  })

  test("a neighbour on the same instance goes on", async () => {
    await host.deployScript(
      "both",
      'case "$CE_SUBJECT" in slow) sleep 2; echo done;; *) trap "" TERM; while :; do sleep 0.01; done;; esac',
      { concurrency: 2 },
    )
    const attributes = { "ce-id": "1", "ce-source": "/s", "ce-type": "t", "ce-specversion": "1.0" }
    const slow = host.call("both", "{}", { ...attributes, "ce-subject": "slow" })
    const stuck = host.call("both", "{}", { ...attributes, "ce-subject": "stuck", ...TIMEOUT })
    expect(failure(await stuck)).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    expect((await slow).string()).toBe("done")
  })
})

describe("a command that leaves something behind", () => {
  test("a child in the background goes with it, and holds nobody up", async () => {
    expect(await abuse('sleep 1000 & echo \'{"type":"a"}\'')).toBe("events 1")
  })

  test("a child that ignores every signal but one goes too", async () => {
    expect(await abuse("(trap '' TERM HUP INT; while :; do sleep 0.01; done) & echo '{\"type\":\"a\"}'")).toBe("events 1")
  })

  test("a daemon that left the group holds its stdout open: the answer does not wait for it", async () => {
    await host.deployScript("daemon", "setsid sh -c 'echo $$; exec sleep 1000' & wait $! 2>/dev/null & sleep 0.2")
    const reply = await host.call("daemon", "{}", { "Fn-Timeout-Ms": "20000" })
    const pid = Number(reply.string())
    expect(pid).toBeGreaterThan(1)
    // What left its group is beyond the level `process`; a sandbox has it.
    expect(isAlive(pid)).toBe(true)
    process.kill(pid, "SIGKILL")
    await until(() => !isAlive(pid), { name: "the daemon to be gone" })
  })

  test("no zombie is left of what it did not wait for", async () => {
    expect(await abuse('for n in 1 2 3 4 5 6 7 8 9 10; do sleep 0 & done; echo \'{"type":"a"}\'')).toBe("events 1")
    await until(() => zombies().length === 0, { name: "no zombies" })
  })
})

describe("a command that writes what it should not", () => {
  test.each([
    ["random bytes", "head -c 100000 /dev/urandom", "events 1"],
    ["half an event", `printf '{"type":"a","data":'`, "BAD_OUTPUT"],
    ["JSON nested ten thousand deep", "yes '[' | head -n 10000; yes ']' | head -n 10000", "BAD_OUTPUT"],
    ["a million empty objects in an array", "printf '[1'; yes ',{}' | head -n 1000000 | tr -d '\\n'; printf ']'", "OUTPUT_LIMIT"],
    ["more events than an answer may have", `yes '{"type":"a"}' | head -n 20000`, "OUTPUT_LIMIT"],
    ["a type that is a header", `printf '{"type":"a\\\\r\\\\nFn-Error-Code: x"}'`, "events 1"],
  ])("%s", async (_, script, outcome) => {
    expect(await abuse(script)).toBe(outcome)
  })

  test("closing stdout early is no failure", async () => {
    expect(await abuse('echo \'{"type":"a"}\'; exec >&-; echo to nowhere 2>/dev/null; sleep 0.1')).toMatch(/events 1|FUNCTION_THREW/)
    expect(await abuse('echo \'{"type":"a"}\'; exec >&-; sleep 0.1; exit 0')).toBe("events 1")
  })
})

describe("R-PL-7: twenty starts and stops", () => {
  test("leave no process, descriptor, file or zombie behind", async () => {
    await using scratch = await tempDir()
    const children = watchChildren()
    const before = descriptors()
    const cycle = async (): Promise<void> => {
      const starter = createCommandStarter({ scratchDir: scratch.path })
      const script = 'cat > here; sleep 1000 & [ "$CE_TYPE" = stay ] && sleep 1000; echo "{}"'
      const spec = specOf(["sh", "-c", script], { runtime: "command", language: "shell" })
      const instance = await starter.start(spec, new AbortController().signal)
      expect(await instance.execute(executionOf("go"))).toHaveLength(1)
      const cut = Promise.resolve(instance.execute(executionOf("stay"))).catch((thrown: unknown) => thrown)
      await until(() => children.added().some(({ command }) => command === "sleep 1000"), { name: "a call to be cut off" })
      await Promise.all([instance.close({ graceMs: 0 }), instance.close({ graceMs: 0 })])
      expect(await cut).toMatchObject({ reason: "FUNCTION_CRASHED" })
      expect(await instance.exited).toBeUndefined()
      await starter.close()
    }
    for (let n = 0; n < 20; n++) await cycle()
    await children.settled()
    expect(readdirSync(scratch.path).filter((name) => !name.endsWith(".pipe"))).toEqual([])
    await until(() => descriptors() <= before, { name: `${before} descriptors again` })
    expect(zombies()).toEqual([])
  })
})

describe("R-IV-5: a command that streams", () => {
  test("is read as fast as its caller takes, and no faster", async () => {
    await using scratch = await tempDir()
    const starter = createCommandStarter({ scratchDir: scratch.path, maxOutputBytes: 100_000 })
    const endless = specOf(["sh", "-c", `yes '{"type":"tick"}'`], { runtime: "command", language: "shell" })
    const instance = await starter.start(endless, new AbortController().signal)
    let taken = 0
    const gone = new Error("the caller went away")
    const sink = {
      write: async (event: WireEvent) => {
        if (event.attributes.type !== "tick" || ++taken === 20_000) throw gone
        if (taken % 1_000 === 0) await new Promise((resolve) => setImmediate(resolve))
      },
    }
    // Far more than may be kept of an answer goes through; the command ends with its caller.
    await expect(instance.execute(executionOf("go", undefined, { sink }))).rejects.toMatchObject({ message: "the caller went away" })
    expect(taken).toBe(20_000)
    await instance.close({ graceMs: 0 })
    await starter.close()
  })

  test("hands over each event while it still runs, and fails after them", async () => {
    await using scratch = await tempDir()
    const starter = createCommandStarter({ scratchDir: scratch.path })
    const script = `for n in 1 2 3; do echo "{\\"type\\":\\"n$n\\"}"; while [ ! -e ${scratch.path}/go$n ]; do sleep 0.01; done; done; exit 4`
    const instance = await starter.start(
      specOf(["sh", "-c", script], { runtime: "command", language: "shell" }),
      new AbortController().signal,
    )
    const seen: string[] = []
    const pending = Promise.resolve(
      instance.execute(executionOf("go", undefined, { sink: { write: (event) => void seen.push(event.attributes.type) } })),
    )
    for (const n of [1, 2, 3]) {
      await until(() => seen.length === n, { name: `event ${n}` })
      writeFileSync(scratch.file(`go${n}`), "")
    }
    await expect(pending).rejects.toMatchObject({ reason: "FUNCTION_THREW" })
    expect(seen).toEqual(["n1", "n2", "n3"])
    await instance.close({ graceMs: 0 })
    await starter.close()
  })
})

function descriptors(): number {
  return readdirSync("/proc/self/fd").filter((fd) => {
    try {
      return !readlinkSync(`/proc/self/fd/${fd}`).startsWith("/proc")
    } catch {
      return false // the one that reads the folder
    }
  }).length
}

/** Children of this process that nobody waited for. */
function zombies(): string[] {
  return readdirSync("/proc").flatMap((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, "utf8")
      const [state, parent] = stat.slice(stat.lastIndexOf(")") + 2).split(" ")
      return state === "Z" && Number(parent) === process.pid ? [stat] : []
    } catch {
      return [] // no process, or one that ended while we looked
    }
  })
}
