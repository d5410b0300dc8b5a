/** A host dials a socket that its child names, and the child lies. */
import { readdirSync } from "node:fs"
import { connect } from "node:net"
import { text } from "node:stream/consumers"
import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import type { IsolatedProcess } from "../src/index.js"
import { can, launchNode, runShell, testHost } from "./support/host.js"

const host = testHost()
const ready = can("sockets of a sandbox", "bwrap")
const SERVE = `require("net").createServer((s) => s.end("from " + process.pid)).listen("/run/fn/plugin.sock", () => console.log("listening"))`

async function listening(script: string): Promise<IsolatedProcess> {
  const child = await launchNode(host, script)
  await until(() => child.stdout?.readableLength, { name: "the child to listen" })
  return child
}

const dial = (path: string): Promise<string> => text(connect(path))

describe("PL-3: a socket of a sandboxed child", () => {
  test("is dialled through its folder in memory, which the host has no name for", async () => {
    if (!ready) return
    const child = await listening(SERVE)
    const socket = child.openSocket("/run/fn/plugin.sock")
    expect(await dial(socket.path)).toBe("from 2")
    socket.close()
    socket.close()
    await child.close({ graceMs: 0 })
  })

  test("what was checked is what is dialled, even if the child puts something else in its place", async () => {
    if (!ready) return
    const child = await listening(
      `${SERVE}; process.on("SIGTERM", () => { const fs = require("fs"); fs.renameSync("/run/fn/plugin.sock", "/run/fn/moved.sock"); fs.symlinkSync("/tmp/x.sock", "/run/fn/plugin.sock"); console.log("swapped") })`,
    )
    const socket = child.openSocket("/run/fn/plugin.sock")
    child.stdout?.read()
    child.kill("SIGTERM")
    await until(() => child.stdout?.readableLength, { name: "the child to swap" })
    expect(await dial(socket.path)).toBe("from 2")
    expect(() => child.openSocket("/run/fn/plugin.sock")).toThrow(expect.objectContaining({ reason: "BAD_HANDSHAKE" }))
    socket.close()
    await child.close({ graceMs: 0 })
  })

  test.each([
    ["a link to a socket of the host", `fs.symlinkSync("/var/run/docker.sock", "/run/fn/x")`, /ELOOP|no socket/],
    ["a link to its own socket", `fs.symlinkSync("/run/fn/plugin.sock", "/run/fn/x")`, /ELOOP|no socket/],
    ["a plain file", `fs.writeFileSync("/run/fn/x", "")`, /no socket/],
    ["a folder", `fs.mkdirSync("/run/fn/x")`, /no socket/],
    ["nothing", "", /ENOENT/],
  ])("is not dialled when it is %s", async (_what, script, reason) => {
    if (!ready) return
    const child = await listening(`const fs = require("fs"); ${script}; ${SERVE}`)
    const before = readdirSync("/proc/self/fd").length
    expect(() => child.openSocket("/run/fn/x")).toThrow(
      expect.objectContaining({ reason: "BAD_HANDSHAKE", message: expect.stringMatching(reason) }),
    )
    expect(readdirSync("/proc/self/fd").length).toBe(before)
    await child.close({ graceMs: 0 })
  })

  test.each([
    "/var/run/docker.sock",
    "/run/fn/../../x",
    "/run/fn/sub/x",
    "/run/fn/.hidden",
    "/run/fn/",
    "run/fn/x",
    "/run/fn/a\0b",
    `/run/fn/${"x".repeat(300)}`,
  ])("is not even looked for at %s", async (path) => {
    if (!ready) return
    const child = await listening(SERVE)
    expect(() => child.openSocket(path)).toThrow(/directly below \/run\/fn/)
    await child.close({ graceMs: 0 })
  })

  test("cannot be dialled any more when the sandbox has ended", async () => {
    if (!ready) return
    const child = await listening(SERVE)
    const socket = child.openSocket("/run/fn/plugin.sock")
    await child.close({ graceMs: 0 })
    await expect(dial(socket.path)).rejects.toMatchObject({ code: "ECONNREFUSED" })
    socket.close()
    expect(() => child.openSocket("/run/fn/plugin.sock")).toThrow(/ENOENT|has ended/)
  })

  test("a folder the child may write to cannot be moved away from under its host", async () => {
    if (!ready) return
    const { stdout } = await runShell(
      host,
      "mv /run/fn /run/other 2>/dev/null && echo moved; rmdir /run/fn 2>/dev/null && echo gone; ls -ld /run/fn | cut -c1",
    )
    expect(stdout).toBe("d\n")
  })
})

test("a process has no such folder", async () => {
  if (!can("sockets of a process")) return
  const child = await launchNode(host, "setInterval(() => {}, 1000)", { level: "process", limits: {}, acceptSoft: ["user", "kill"] })
  expect(() => child.openSocket("/run/fn/x")).toThrow(expect.objectContaining({ reason: "INVALID_REQUEST" }))
  await child.close({ graceMs: 0 })
})
