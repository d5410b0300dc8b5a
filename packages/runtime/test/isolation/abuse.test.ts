/** R-SEC-3: hostile functions on a strict host. What they do to themselves is said to their callers; a neighbour hears nothing of it. docs/isolation.md#abuse */
import { chmodSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { processesWith, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import type { Msg } from "@nats-io/transport-node"
import { failure, header } from "../test-host.js"
import { canIsolate, type IsolatedHost, startIsolatedHost } from "./support.js"

jest.setTimeout(120_000)

const ready = canIsolate("hostile functions on a strict host")
const granted = mkdtempSync(join(tmpdir(), "fn-granted-"))
let host: IsolatedHost

beforeAll(async () => {
  if (!ready) return
  chmodSync(granted, 0o755)
  host = await startIsolatedHost({
    isolation: { policy: "strict", allowFiles: [granted] },
    limits: { outputBytes: 4 << 20, cancelGraceMs: 300, pluginStartTimeoutMs: 5_000 },
  })
  await host.module("neighbour", "return event.data", { env: { SECRET: "of the neighbour" } })
  await host.call("neighbour")
})
afterAll(async () => {
  await host?.[Symbol.asyncDispose]()
  rmSync(granted, { recursive: true })
})

/** The outcome of a call while the neighbour is called again and again, each time with success. */
async function beside(work: Promise<Msg>): Promise<Msg> {
  let over = false
  const calls = (async () => {
    for (let n = 0; !over; n++) expect((await host.call("neighbour", { n })).json()).toEqual({ n })
  })()
  try {
    return await work
  } finally {
    over = true
    await calls
  }
}

const outcome = (reply: Msg): unknown => (header(reply, "Fn-Error-Reason") ? failure(reply) : JSON.parse(reply.string() || "null"))
const descriptors = (): number => readdirSync("/proc/self/fd").length

describe("R-SEC-3: a function that takes all it can get", () => {
  test("a module that forks without end is refused its processes, and nothing of them is left after its time", async () => {
    if (!ready) return
    const bomb = `if (!event.data.go) return; const { spawn } = await import("node:child_process"); let refused = 0, n = 0
      for (;;) { await new Promise((next) => { const child = spawn("/proc/self/exe", ["-e", "setInterval(() => 0, 1000)", "bombchild"]); n++
        child.on("error", () => { refused++; next() }); child.on("spawn", next) }); if (refused === 0 && n > 500) return "never refused" }`
    await host.module("forks", bomb, { pids: 40, memoryMb: 512 })
    await host.call("forks")
    expect(outcome(await beside(host.call("forks", { go: true }, 1_500)))).toMatch(
      /FUNCTION_TIMEOUT|PIDS_LIMIT|MEMORY_LIMIT|FUNCTION_CRASHED/,
    )
    await until(() => processesWith("bombchild").length === 0, { name: "its processes to be gone", timeoutMs: 20_000 })
  })

  test("a module that opens files without end is refused them by itself; the host has its own", async () => {
    if (!ready) return
    const open = `const fs = await import("node:fs"); const kept = []; try { for (;;) kept.push(fs.openSync("/dev/null")) } catch (e) { return [kept.length, e.code] } finally { kept.forEach((fd) => fs.closeSync(fd)) }`
    await host.module("opens", open)
    await host.call("opens")
    const before = descriptors()
    const [count, code] = outcome(await beside(host.call("opens"))) as [number, string]
    expect([code, count < 1024, count > 100]).toEqual(["EMFILE", true, true])
    expect(descriptors()).toBeLessThanOrEqual(before + 5)
  })

  test("a module that fills /tmp meets its end, on no disk of the host", async () => {
    if (!ready) return
    const fill = `const fs = await import("node:fs"); const fd = fs.openSync("/tmp/big", "w"); let mb = 0
      try { for (;; mb++) fs.writeSync(fd, Buffer.alloc(1 << 20)) } catch (e) { return [mb <= 64, e.code] } finally { fs.closeSync(fd); fs.rmSync("/tmp/big") }`
    await host.module("fills", fill)
    expect(outcome(await beside(host.call("fills")))).toEqual([true, expect.stringMatching(/^(ENOSPC|EFBIG)$/)])
  })

  test("a command that prints without end is OUTPUT_LIMIT in a sandbox, too", async () => {
    if (!ready) return
    await host.script("prints", "yes")
    expect(outcome(await beside(host.call("prints")))).toBe("resource_exhausted OUTPUT_LIMIT")
  })

  test.each(["module", "plugin"] as const)(
    "a %s that prints empty lines without end is held back, and its neighbour is not",
    async (kind) => {
      if (!ready) return
      await host[kind](
        `floods${kind}`,
        `if (event.data.go) for (;;) { process.stdout.write("\\n".repeat(65536)); await new Promise(setImmediate) }`,
      )
      await host.call(`floods${kind}`)
      let over = false
      let calls = 0
      const flood = host.call(`floods${kind}`, { go: true }, 2_000).finally(() => {
        over = true
      })
      while (!over) {
        expect((await host.call("neighbour", { calls })).json()).toEqual({ calls })
        calls++
      }
      expect(outcome(await flood)).toMatch(/FUNCTION_TIMEOUT|MEMORY_LIMIT/)
      // One every 100 ms would be a host that hardly moves; it is some thousands.
      expect(calls).toBeGreaterThan(20)
    },
  )

  test("a command that spins and ignores its cancellation is killed", async () => {
    if (!ready) return
    await host.script("spins", "trap '' TERM; while :; do :; done", { cpu: 0.5 })
    expect(outcome(await beside(host.call("spins", {}, 400)))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    await until(() => host.runtime.status().running === 0, { name: "its slot to be free", timeoutMs: 20_000 })
  })

  test("a module that stops itself is ended at its time, and the next call finds another instance", async () => {
    if (!ready) return
    await host.module("freezes", `if (event.data.freeze) process.kill(process.pid, "SIGSTOP"); return "thawed"`, { concurrency: 1 })
    await host.call("freezes")
    expect(outcome(await beside(host.call("freezes", { freeze: true }, 500)))).toBe("deadline_exceeded FUNCTION_TIMEOUT")
    expect(outcome(await host.call("freezes"))).toBe("thawed")
  })

  test("a module that ends its process at every call hears CRASH_LOOP, then is given a rest, and costs nobody else", async () => {
    if (!ready) return
    await host.module("dies", "process.exit(1)")
    const outcomes: unknown[] = []
    const call = async (): Promise<unknown> => outcome(await host.call("dies"))
    for (let n = 0; n < 8; n++) {
      outcomes.push(await call().catch((thrown: Error) => thrown.message.slice(0, 13)))
      expect((await host.call("neighbour", { n })).json()).toEqual({ n })
    }
    expect(outcomes[0]).toBe("unavailable FUNCTION_CRASHED")
    // A host that gives a function a rest leaves its subject to other hosts.
    expect(outcomes.at(-1)).toMatch(/CRASH_LOOP|no responders/)
  })
})

describe("R-SEC-3: a function that looks around", () => {
  test("finds no artifact, socket or folder of the host or of others, and cannot change its own program", async () => {
    if (!ready) return
    writeFileSync(join(granted, "not-shown"), "secret")
    const paths = [
      process.cwd(),
      tmpdir() === "/tmp" ? granted : tmpdir(),
      ...readdirSync("/tmp").map((name) => `/tmp/${name}`),
      "/var/run/docker.sock",
    ]
    await host.script(
      "looks",
      `cat > /dev/null; for path in ${paths.map((path) => `'${path}'`).join(" ")}; do [ -e "$path" ] && echo "sees $path"; done
      (echo x >> "$0") 2>/dev/null && echo "wrote its program"; (echo x > /x) 2>/dev/null && echo "wrote /"; ls /fn | wc -l`,
    )
    expect((await host.call("looks")).string().trim()).toBe("1")
  })

  test("finds no secret in the environment or on the command line of any process it can see", async () => {
    if (!ready) return
    const look = `const fs = await import("node:fs"); const seen = []
      for (const pid of fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name))) for (const file of ["environ", "cmdline"]) { try { seen.push(fs.readFileSync("/proc/" + pid + "/" + file, "latin1")) } catch {} }
      return seen.join("\\n")`
    await host.module("snoops", look, { env: { MINE: "mine" } })
    const seen = (await host.call("snoops")).string()
    expect(seen).not.toMatch(/of the neighbour|nats:|NATS|FN_/)
    expect(seen).not.toContain(host.server.url.replace(/^\w+:\/\//, ""))
    expect(seen.length).toBeGreaterThan(10)
  })

  test("is shown what was granted for reading, and cannot write it", async () => {
    if (!ready) return
    writeFileSync(join(granted, "data"), "granted")
    await host.script("grants", "cat > /dev/null; cat /data/data; (echo x > /data/data) 2>/dev/null && echo written; true", {
      isolation: { files: [{ path: granted, at: "/data" }] },
    })
    expect((await host.call("grants")).string().trim()).toBe("granted")
    expect(readFileSync(join(granted, "data"), "utf8")).toBe("granted")
  })
})

describe("R-PL-3: a sandboxed plugin whose handshake names what is not its own", () => {
  test.each([
    ["a socket of the host", "1|1|unix|/var/run/docker.sock|grpc"],
    ["a path that leads out of its folder", "1|1|unix|/run/fn/../../tmp/x|grpc"],
    ["another machine", "1|1|tcp|10.0.0.1:80|grpc"],
    ["the host's NATS server", "1|1|tcp|127.0.0.1:4222|grpc"],
    ["a link to somewhere else", "1|1|unix|/run/fn/link|grpc"],
    ["what is no socket", "1|1|unix|/run/fn/file|grpc"],
  ])("%s is BAD_HANDSHAKE, and is never dialled", async (what, line) => {
    if (!ready) return
    const name = `says-${what.toLowerCase().replaceAll(/\W+/g, "-")}`
    const script = `#!/bin/sh\nln -s /var/run/docker.sock /run/fn/link; : > /run/fn/file; echo '${line}'; sleep 77`
    await host.deploy(
      { name, language: "shell", runtime: "plugin", command: ["sh", "{artifact}"] },
      { artifact: Buffer.from(script), fileName: `${name}.sh` },
    )
    const reply = await beside(host.request(`function.shell.${name}`, "{}", {}, 30_000))
    expect(failure(reply)).toMatch(/ BAD_HANDSHAKE$/)
    await until(() => processesWith("sleep 77").length === 0, { name: "it to be gone" })
  })
})

describe("R-PL-7: a daemon in a session of its own ends with its function", () => {
  test("in a sandbox, and as a process in a control group", async () => {
    if (!ready) return
    await using lenient = await startIsolatedHost({ isolation: { policy: "strict", allowProcess: true } })
    for (const [name, manifest] of [
      ["boxed", {}],
      ["grouped", { isolation: { level: "process" as const } }],
    ] as const) {
      await lenient.script(name, "setsid sleep 78 > /dev/null 2>&1 & echo '{}'", manifest)
      expect(failure(await lenient.call(name))).toBe("undefined undefined")
      expect(processesWith("sleep 78")).toEqual([])
    }
  })

  test("under policy dev, once it asks for level process by name", async () => {
    if (!ready) return
    await using dev = await startIsolatedHost({ isolation: { policy: "dev" } })
    await dev.script("asks", "setsid sleep 79 > /dev/null 2>&1 & echo '{}'", { isolation: { level: "process" } })
    expect(failure(await dev.call("asks"))).toBe("undefined undefined")
    expect(processesWith("sleep 79")).toEqual([])
  })
})
