import { copyFileSync } from "node:fs"
import { join } from "node:path"
import { beforeAll, describe, expect, test } from "@jest/globals"
import { build } from "esbuild"
import { startGoHost } from "./support/go-host.js"
import { describeWithGo, goKv } from "./support/go-kv.js"
import { addTell, kvOf, kvPluginFile, launch, tellThrough, tempDir } from "./support/kv.js"

/** The plugin of the tests with all it imports in one file, in a folder where no package can be found. */
async function bundle(): Promise<string> {
  const outfile = join(tempDir(), "plugin.mjs")
  // What grpc-js requires at run time needs a `require`.
  const banner = { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' }
  await build({
    entryPoints: [kvPluginFile],
    bundle: true,
    platform: "node",
    format: "esm",
    minify: true,
    outfile,
    banner,
    logLevel: "error",
  })
  return outfile
}

describe("P43 a plugin that is one bundled file", () => {
  test.each([false, true])("P43 under our host, wherever it lies (multiplex %s)", async (multiplex) => {
    const moved = join(tempDir(), "moved.mjs")
    copyFileSync(await bundle(), moved)
    const plugin = await launch({ command: process.execPath, args: [moved], multiplex })
    const { id } = await plugin.broker.accept(addTell)
    expect(await kvOf(plugin).run(`dial ${id}`)).toBe("told:x")
    expect(await tellThrough(plugin.broker, Number(await kvOf(plugin).run("accept")))).toBe("told:y")
    expect(await plugin.close()).toEqual({ code: 0, signal: null })
  })
})

describeWithGo("P43 a plugin that is one bundled file, under a Go host", () => {
  beforeAll(() => void goKv(), 120_000)

  test("P43 it starts, answers and ends", async () => {
    const host = await startGoHost({ mtls: true, plugin: { command: process.execPath, args: [await bundle()] } })
    expect(await host.do("echo", "50")).toMatchObject({ result: "50" })
    expect(await host.do("kill")).toMatchObject({ result: "true" })
  })
})
