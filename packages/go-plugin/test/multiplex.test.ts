import { existsSync, readdirSync } from "node:fs"
import { beforeAll, describe, expect, test } from "@jest/globals"
import { launchPlugin, type PluginProcess } from "../src/index.js"
import { startGoHost } from "./support/go-host.js"
import { describeWithGo, goKv } from "./support/go-kv.js"
import { addTell, handshake, kvOf, kvPluginFile, launch, rejectionOf, script, tellThrough, tempDir, tsKv } from "./support/kv.js"

/** Calls, a large reply, a stream, and brokered services both ways and again: all of it over the plugin's one connection. */
async function exercise(plugin: PluginProcess, socketDir: string): Promise<void> {
  const kv = kvOf(plugin)
  expect(await kv.run("version")).toBe("3")
  expect(await kv.run("big 5000000")).toHaveLength(5_000_000)
  const listening = readdirSync(socketDir).length
  const ours = await plugin.broker.accept(addTell)
  const theirs = Number(await kv.run("accept"))
  expect([ours.id, theirs, ours.address]).toEqual([1, 1, undefined])
  // Neither side has a socket for its service.
  expect(readdirSync(socketDir)).toHaveLength(listening)
  for (let time = 0; time < 2; time++) {
    expect(await kv.run(`dial ${ours.id}`)).toBe("told:x")
    expect(await tellThrough(plugin.broker, theirs)).toBe("told:y")
  }
  await Promise.all(Array.from({ length: 5 }, async () => expect(await tellThrough(plugin.broker, theirs)).toBe("told:y")))
  ours.close()
  expect(await rejectionOf(plugin.broker.dial(77, { timeoutMs: 50 }))).toMatchObject({ code: "deadline_exceeded" })
  expect(await kv.run("version")).toBe("3")
  expect(await plugin.close()).toEqual({ code: 0, signal: null })
  expect(readdirSync(socketDir)).toEqual([])
}

describeWithGo("H51 P45 one connection for everything, with hashicorp/go-plugin", () => {
  beforeAll(() => void [goKv(), goKv("1.0.1")], 120_000)

  test.each([false, true])("H51 our host over a Go plugin (mTLS %s)", async (autoMtls) => {
    const socketDir = tempDir()
    await exercise(await launch({ command: goKv(), args: ["plugin"], autoMtls, multiplex: true, socketDir }), socketDir)
  })

  test.each([false, true])("P45 a Go host over our plugin (mTLS %s)", async (mtls) => {
    const host = await startGoHost({ mtls, multiplex: true })
    expect(await host.do("ping")).not.toHaveProperty("error")
    expect(await host.do("size", "20000000")).toMatchObject({ result: "20000000" })
    expect(await host.do("put", "5000000")).toMatchObject({ result: "5000000" })
    expect(await host.do("echo", "500")).toMatchObject({ result: "500" })
    for (let time = 0; time < 2; time++) {
      expect(await host.do("offer")).toMatchObject({ result: "told:x" })
      expect(await host.do("visit")).toMatchObject({ result: "told:y" })
    }
    const killed = await host.do("kill")
    expect(killed).toMatchObject({ result: "true" })
    expect(host.log.some(({ message }) => message.includes("failed to exit gracefully"))).toBe(false)
  })

  test("H51 a plugin built with 1.0.1 is refused with the reason", async () => {
    const error = await rejectionOf(launchPlugin({ command: goKv("1.0.1"), args: ["plugin"], handshake, multiplex: true }))
    expect(error).toMatchObject({ reason: "PLUGIN_PROTOCOL" })
    expect(error.message).toContain("go-plugin does from 1.6 on")
  })
})

describe("H51 P45 one connection for everything, our host and our plugin", () => {
  test.each([
    ["unix", false],
    ["unix", true],
    ["tcp", true],
  ] as const)("H51 P45 over %s (mTLS %s)", async (network, autoMtls) => {
    const socketDir = tempDir()
    await exercise(await launch({ ...tsKv(...(network === "tcp" ? ["tcp"] : [])), autoMtls, multiplex: true, socketDir }), socketDir)
  })

  test("H51 a plugin that says false is refused with the reason", async () => {
    const command = script(`"${process.execPath}" "${kvPluginFile}" | sed -u '1s/|true$/|false/'`)
    const error = await rejectionOf(launchPlugin({ command, handshake, multiplex: true }))
    expect(error).toMatchObject({ reason: "PLUGIN_PROTOCOL" })
    expect(error.message).toContain("says no to it")
  })

  test("H51 close() fails dials under way", async () => {
    const plugin = await launch({ ...tsKv(), multiplex: true })
    const dials = [rejectionOf(plugin.broker.dial(98)), rejectionOf(plugin.broker.dial(99))]
    await kvOf(plugin).run("version")
    await plugin.close()
    for (const dial of dials) expect(await dial).toMatchObject({ code: "unavailable", reason: "PLUGIN_EXITED" })
  })

  test("H51 a crash fails calls, and leaves neither process nor socket", async () => {
    const socketDir = tempDir()
    const plugin = await launch({ ...tsKv(), multiplex: true, socketDir })
    const failed = await rejectionOf(kvOf(plugin).run("exit 7"))
    expect(await plugin.explain(failed)).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 7 } })
    expect(await plugin.close()).toEqual({ code: 7, signal: null })
    expect(existsSync(plugin.address.address)).toBe(false)
    expect(readdirSync(socketDir)).toEqual([])
  })
})
