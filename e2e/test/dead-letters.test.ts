/** What becomes of invocations that fail: retries, dead letters, and their way back, by the built apps. */
import { readFileSync } from "node:fs"
import { spawnChild } from "@fn/process"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { programOf } from "../support/app.mjs"
import { type Platform, startPlatform } from "../support/platform.mjs"

/** An author's bundle has this inside. */
const CORE = import.meta.resolve("@fn/core")

/** Writes a line for every attempt, then fails as its event says, unless it is the repaired version. */
const source = (repaired: boolean): string => `
import { appendFileSync } from "node:fs"
import { FnError } from ${JSON.stringify(CORE)}
export default (event, { config, attempt, invocationId }) => {
  appendFileSync(config.file, event.data.name + " " + attempt + "\\n")
  if (${repaired}) return { type: "done", data: { name: event.data.name, invocationId } }
  if (event.data.permanent) throw FnError.terminal("NO_SUCH_ORDER", "there is no such order")
  throw new Error("poison")
}
`

describe("R-IV-8: an invocation that fails", () => {
  let platform: Platform
  let file: string

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 2 })
    file = platform.folder.file("attempts")
    await deploy("1.0.0", false)
  }, 60_000)
  afterAll(() => platform.dispose())

  const deploy = (version: string, repaired: boolean): Promise<unknown> =>
    platform.deployModule("orders", source(repaired), {
      version,
      config: { file },
      retry: { attempts: 3, initialMs: 50, maxMs: 100, factor: 2, jitter: false },
    })

  const attemptsOf = (name: string): string[] =>
    readFileSync(file, "utf8")
      .split("\n")
      .filter((line) => line.startsWith(`${name} `))

  /** Runs the CLI; gives what it printed. */
  async function cli(...args: string[]): Promise<string> {
    const child = spawnChild({
      command: process.execPath,
      args: [programOf("cli"), ...args, "--nats-url", platform.server.url],
      env: { PATH: process.env.PATH ?? "" },
    })
    let out = ""
    let err = ""
    child.stdout?.on("data", (chunk: Buffer) => (out += chunk.toString()))
    child.stderr?.on("data", (chunk: Buffer) => (err += chunk.toString()))
    const exit = await child.exited
    if (exit.code !== 0) throw new Error(`fn ${args.join(" ")} ended with ${exit.code}: ${err}`)
    return out
  }

  test("every time is tried as often as its policy says, dead-lettered, and succeeds when it is redriven after a fix", async () => {
    const { client } = platform
    const id = await client.invokeAsync("orders", { type: "order.placed", data: { name: "poison" } })
    await expect(client.result(id, { timeoutMs: 20_000 })).rejects.toMatchObject({ reason: "FUNCTION_THREW", message: "poison" })
    expect(attemptsOf("poison")).toEqual(["poison 1", "poison 2", "poison 3"])
    const listed = JSON.parse(
      await until(
        async () => {
          const printed = await cli("dlq", "list", "orders", "--json")
          return printed.includes("FUNCTION_THREW") && printed
        },
        { name: "the dead letter" },
      ),
    ) as { deadLetters: { seq: number; reason: string; attempts: number }[] }
    const [letter] = listed.deadLetters
    expect(letter).toMatchObject({ reason: "FUNCTION_THREW", attempts: 3 })
    expect(await cli("dlq", "show", String(letter?.seq))).toContain("order.placed")

    await deploy("1.0.1", true)
    const { redriven } = JSON.parse(await cli("dlq", "redrive", String(letter?.seq), "--yes", "--json")) as {
      redriven: { invocationId: string }[]
    }
    const again = redriven[0]?.invocationId
    if (again === undefined) throw new Error("nothing was redriven")
    const [event] = await client.result(again, { timeoutMs: 20_000 })
    expect(event).toMatchObject({ type: "done", data: { name: "poison", invocationId: again } })
    expect(await cli("dlq", "list", "orders")).not.toContain("FUNCTION_THREW")
  }, 90_000)

  test("for good is not tried again", async () => {
    const { client } = platform
    await deploy("1.0.2", false)
    const id = await client.invokeAsync("orders", { type: "order.placed", data: { name: "permanent", permanent: true } })
    await expect(client.result(id, { timeoutMs: 20_000 })).rejects.toMatchObject({ code: "failed_precondition", reason: "NO_SUCH_ORDER" })
    expect(attemptsOf("permanent")).toEqual(["permanent 1"])
  }, 60_000)
})
