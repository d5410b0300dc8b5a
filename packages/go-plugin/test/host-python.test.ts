import { existsSync } from "node:fs"
import { findPython } from "@fn/testing"
import type { ClientDuplexStream } from "@grpc/grpc-js"
import { describe, expect, test } from "@jest/globals"
import type { PluginProcess } from "../src/index.js"
import { keepingLogger, kvOf, launch, pythonKvFile, rejectionOf } from "./support/kv.js"
import { isAlive, until } from "./support/until.js"

const python = findPython()

async function launchKv(options: { autoMtls?: boolean; logger?: ReturnType<typeof keepingLogger>["logger"] } = {}): Promise<PluginProcess> {
  return await launch({ command: python?.executable as string, args: [pythonKvFile], startTimeoutMs: 30_000, ...options })
}

if (!python) {
  test("Python and grpcio are needed", () => {
    console.warn("SKIPPED: needs grpcio: our host against a plugin in Python, written without an SDK (npm run setup)")
  })
} else {
  describe("R-PL-2: our host and a plugin in Python on grpcio alone, as any go-plugin host would launch it", () => {
    test.each([true, false])("it negotiates, keeps values and answers streams (AutoMTLS %s)", async (autoMtls) => {
      const plugin = await launchKv({ autoMtls })
      expect(plugin.negotiatedVersion).toBe(3)
      await plugin.ping()
      const kv = kvOf(plugin)
      const values = Array.from({ length: 200 }, (_, n) => Buffer.alloc(n * 50, n))
      await Promise.all(values.map((value, n) => kv.put(`key-${n}`, value)))
      const kept = await Promise.all(values.map((_, n) => kv.get(`key-${n}`)))
      expect(kept.map((value) => value.toString("base64"))).toEqual(values.map((value) => value.toString("base64")))
      expect(await kv.run("version")).toBe("3")
      expect(await rejectionOf(kv.get("nothing"))).toMatchObject({ code: 5, details: 'no value under "nothing"' })
      const stream = kv.client.echo() as ClientDuplexStream<Buffer, Buffer>
      const back: Buffer[] = []
      const ended = new Promise((resolve) => stream.on("end", resolve))
      stream.on("data", (message: Buffer) => back.push(message))
      for (const value of values) stream.write(value)
      stream.end()
      await ended
      expect(Buffer.concat(back).equals(Buffer.concat(values))).toBe(true)
      expect(back).toHaveLength(values.length)
    })

    test("its environment is the protocol's alone, and what it writes to stderr is its log", async () => {
      const { logger, lines } = keepingLogger()
      const kv = kvOf(await launchKv({ logger }))
      const env = (await kv.run("env")).replace(/-----BEGIN[\s\S]*-----END CERTIFICATE-----/, "")
      const names = env.split("\n").flatMap((line) => /^(\w+)=/.exec(line)?.[1] ?? [])
      expect(names.filter((name) => !/^(PLUGIN_|KV_COOKIE$|LC_CTYPE$)/.test(name))).toEqual([])
      await kv.run("print careful")
      await until(() => lines.some(({ message }) => message.includes("careful")), { name: "the line on its stderr" })
    })

    test("a plugin that knows nothing of shutting down is killed, and leaves neither process nor socket", async () => {
      const plugin = await launchKv()
      const { pid, address } = plugin
      await plugin.close({ shutdownTimeoutMs: 2_000, graceMs: 100 })
      expect(isAlive(pid)).toBe(false)
      expect(address.network).toBe("unix")
      expect(existsSync(address.address)).toBe(false)
    })

    test("its crash is told with its exit code", async () => {
      const plugin = await launchKv()
      const failed = await rejectionOf(kvOf(plugin).run("exit 7"))
      expect(await plugin.explain(failed as unknown as Error)).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 7 } })
    })
  })
}
