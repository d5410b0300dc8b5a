import { existsSync, readdirSync } from "node:fs"
import { basename, dirname, join } from "node:path"
import { FnError } from "@fn/core"
import { type Child, spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { launchPlugin, type PluginProgram } from "../src/index.js"
import { defer, handshake, kvOf, kvPluginFile, launch, rejectionOf, script, tempDir } from "./support/kv.js"
import { isAlive } from "./support/until.js"

/** Starts the program under a wrapper that gives it a folder of its own and tells of it as `/inside`: what a sandbox does. */
function wrapped(program: PluginProgram, folder: string): Child {
  const wrapper = script(`export TMPDIR="${folder}"; "$@" | sed -u '1s#${folder}#/inside#'`)
  const child = spawnChild({ command: wrapper, args: [program.command, ...program.args], env: { PATH: "/usr/bin:/bin", ...program.env } })
  defer(() => child.kill())
  return child
}

describe("H52 R-PL-3: a plugin that is started by its host's own means", () => {
  test.each([
    [false, false],
    [true, false],
    [true, true],
  ])("H52 its address is taken for what it is on this side (mTLS %s, multiplex %s)", async (autoMtls, multiplex) => {
    const folder = tempDir()
    let given: PluginProgram | undefined
    const plugin = await launch({
      // Not looked up here: it need not exist on this side.
      command: "node-of-the-sandbox",
      args: [kvPluginFile],
      autoMtls,
      multiplex,
      start: async (program) => {
        given = program
        return {
          child: wrapped({ ...program, command: process.execPath }, folder),
          translate: ({ network, address }) => ({ network, address: join(folder, basename(address)) }),
        }
      },
    })
    expect(given).toMatchObject({ command: "node-of-the-sandbox", args: [kvPluginFile] })
    expect(Object.keys(given?.env ?? {}).sort()).toEqual(
      [
        ...(autoMtls ? ["PLUGIN_CLIENT_CERT"] : []),
        ...(multiplex ? ["PLUGIN_MULTIPLEX_GRPC"] : []),
        "KV_COOKIE",
        "PLUGIN_MAX_PORT",
        "PLUGIN_MIN_PORT",
        "PLUGIN_PROTOCOL_VERSIONS",
      ].sort(),
    )
    expect(dirname(plugin.address.address)).toBe(folder)
    expect(await kvOf(plugin).run("version")).toBe("3")
    await plugin.close()
    // The wrapper and what it started: one process group.
    expect(isAlive(plugin.pid)).toBe(false)
    expect(readdirSync(folder)).toEqual([])
  })

  test("H52 an address that is refused on this side fails the start and leaves no process", async () => {
    const folder = tempDir()
    let child: Child | undefined
    const error = await rejectionOf(
      launchPlugin({
        command: process.execPath,
        args: [kvPluginFile],
        handshake,
        start: async (program) => {
          child = wrapped(program, folder)
          return {
            child,
            translate: ({ address }) => {
              throw FnError.of("BAD_HANDSHAKE", `${address} is outside of the sandbox`)
            },
          }
        },
      }),
    )
    expect(error).toMatchObject({ reason: "BAD_HANDSHAKE" })
    expect(error.message).toContain("/inside")
    expect(child?.exit).toBeDefined()
    expect(isAlive(child?.pid as number)).toBe(false)
    expect(existsSync("/inside")).toBe(false)
  })

  test("H52 what its start rejects with is told as it is", async () => {
    const start = async (): Promise<never> => {
      throw FnError.of("FEATURE_UNSUPPORTED", "no sandbox on this machine")
    }
    expect(await rejectionOf(launchPlugin({ command: "x", handshake, start }))).toMatchObject({
      reason: "FEATURE_UNSUPPORTED",
      message: "no sandbox on this machine",
    })
  })
})
