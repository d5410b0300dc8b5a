import { beforeAll, describe, expect, test } from "@jest/globals"
import { startGoHost } from "./support/go-host.js"
import { describeWithGo, goKv } from "./support/go-kv.js"
import { defer } from "./support/kv.js"
import { isAlive, until } from "./support/until.js"

describeWithGo("R-PL-4: a host made with hashicorp/go-plugin and our plugin", () => {
  beforeAll(() => void goKv(), 120_000)

  describe.each([false, true])("AutoMTLS %s", (mtls) => {
    test("P6 P9 P12 P33 P34 P37 it starts, answers calls, streams, errors and large messages", async () => {
      const host = await startGoHost({ mtls })
      expect(await host.do("ping")).not.toHaveProperty("error")
      expect(await host.do("version")).toMatchObject({ result: "3" })
      expect(await host.do("put", "5000000")).toMatchObject({ result: "5000000" })
      expect(await host.do("get", "k")).toMatchObject({ result: "5000000" })
      expect(await host.do("size", "20000000")).toMatchObject({ result: "20000000" })
      expect(await host.do("get", "absent")).toMatchObject({ code: 5 })
      expect(await host.do("echo", "2000")).toMatchObject({ result: "2000" })
    })

    test("P29 P30 the broker connects both ways", async () => {
      const host = await startGoHost({ mtls })
      expect(await host.do("offer")).toMatchObject({ result: "told:x" })
      expect(await host.do("visit")).toMatchObject({ result: "told:y" })
      expect(await host.do("offer")).toMatchObject({ result: "told:x" })
    })
  })

  test("P17 the host's Kill is graceful and quick, with a handler hanging", async () => {
    const host = await startGoHost({ mtls: true })
    await host.do("start", "sleep")
    const killed = await host.do("kill")
    expect(killed).toMatchObject({ result: "true" })
    expect(killed.ms).toBeLessThan(1_000)
    expect(host.log.some(({ message }) => message.includes("failed to exit gracefully"))).toBe(false)
    expect(isAlive(host.pluginPid)).toBe(false)
    expect(await host.end()).toEqual({ code: 0, signal: null })
  })

  test("P35 an event loop that is blocked for a second and a half delays the host's Kill, no more", async () => {
    const host = await startGoHost({ mtls: true })
    await host.do("start", "block 1500")
    const killed = await host.do("kill")
    expect(killed).toMatchObject({ result: "true" })
    expect(host.log.some(({ message }) => message.includes("failed to exit gracefully"))).toBe(false)
    expect(isAlive(host.pluginPid)).toBe(false)
  })

  test("P20 it is gone within two seconds when its host is killed with SIGKILL", async () => {
    const host = await startGoHost({ ownSession: true })
    defer(() => isAlive(host.pluginPid) && process.kill(host.pluginPid, "SIGKILL"))
    expect(isAlive(host.pluginPid)).toBe(true)
    process.kill(host.pid, "SIGKILL")
    await host.child.exited
    expect(isAlive(host.pluginPid)).toBe(true)
    await until(() => !isAlive(host.pluginPid), { name: "the plugin to be gone", timeoutMs: 2_000 })
  })

  test("P22 what its code prints reaches the host's SyncStdout and SyncStderr", async () => {
    const host = await startGoHost({ mtls: true })
    await host.do("run", "print žluť")
    await until(() => host.printed("stdout") === "žluť\nžluť" && host.printed("stderr") === "žluť\n", { name: "the printed text" })
  })

  test("P23 five megabytes printed at start do not block it", async () => {
    const host = await startGoHost({ faults: ["print-at-start"] })
    expect(await host.do("ping")).not.toHaveProperty("error")
    await until(() => host.printed("stdout").includes("004999 "), { name: "the newest output" })
    expect(host.printed("stderr")).toContain("bytes of earlier output were dropped")
  })

  test("P26 P27 its log lines have their level on the host, and none makes the host panic", async () => {
    const host = await startGoHost()
    await host.do("run", "log")
    await host.do("run", "hostile")
    const cyclic = await until(() => host.log.find(({ message }) => message === "cyclic"), { name: "the last line" })
    expect(cyclic.level).toBe("error")
    expect(host.log.find(({ message }) => message === "warned")).toMatchObject({ level: "warn", fields: { n: 1 } })
    expect(await host.do("ping")).not.toHaveProperty("error")
  })

  test("P28 a crash is seen by the host as one", async () => {
    const host = await startGoHost()
    await host.do("run", "exit 7")
    await until(() => host.log.some(({ message, fields }) => message === "plugin process exited" && String(fields.error).includes("7")), {
      name: "the host to see exit code 7",
    })
    expect(await host.do("ping")).toHaveProperty("error")
  })

  test("H50 a plugin that is itself a host launches a Go plugin: three levels", async () => {
    const host = await startGoHost({ mtls: true })
    expect(await host.do("run", `nested ${goKv()}`)).toMatchObject({ result: "inner 1" })
  })
})
