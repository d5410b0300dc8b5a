/** docs/protocol.md is enough to write a client: the one in examples/python-client, which has nothing of ours, on the built host. */
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { type Platform, startPlatform } from "../support/platform.mjs"

jest.setTimeout(60_000)

const CLIENT = fileURLToPath(new URL("../../examples/python-client/fn_client.py", import.meta.url))
const run = promisify(execFile)

const PARTS = `export default (event) => {
  const { count = 1, size, fail } = event.data ?? {}
  if (fail) throw new Error("it always fails")
  const data = size ? "x".repeat(size) : null
  return Array.from({ length: count }, (_, n) => ({ type: "test.part", subject: "häh 10%", data: data ?? n }))
}`

interface PartEvent {
  readonly type: string
  readonly subject: string
  readonly data?: unknown
}

/** Whether there is a Python to run it with. Without one this file tests nothing, and says so. */
const python = await run("python3", ["--version"]).then(
  ({ stdout }) => stdout.trim(),
  () => undefined,
)
if (python === undefined) process.stderr.write("SKIPPED: e2e/test/python-client.test.ts needs python3 on the PATH\n")

const describeWithPython = python === undefined ? describe.skip : describe

describeWithPython("a client in Python, by docs/protocol.md alone", () => {
  let platform: Platform

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 1 })
    await platform.deployModule("parts", PARTS, { retry: { attempts: 2, initialMs: 10 } })
    await platform.deployModule("parts", PARTS, { namespace: "shop" })
  })
  afterAll(() => platform.dispose())

  /** What one method gives. @throws what it printed, when it failed */
  async function call<T>(method: string, args: readonly unknown[], more: Readonly<Record<string, unknown>> = {}): Promise<T> {
    return callIn<T>("default", method, args, more)
  }

  async function callIn<T>(
    namespace: string,
    method: string,
    args: readonly unknown[],
    more: Readonly<Record<string, unknown>>,
  ): Promise<T> {
    const given = [CLIENT, platform.server.url, method, JSON.stringify(args), JSON.stringify(more)]
    const env = { PATH: process.env.PATH ?? "", FN_NAMESPACE: namespace }
    try {
      return JSON.parse((await run("python3", given, { maxBuffer: 64_000_000, env })).stdout) as T
    } catch (thrown) {
      const { stdout = "", stderr = "" } = thrown as { stdout?: string; stderr?: string }
      if (stderr !== "" || stdout === "") throw new Error(`the client broke: ${stderr}`, { cause: thrown })
      throw JSON.parse(stdout)
    }
  }

  test("R-IV-1: calls a function and gets none, one or many events, and its errors", async () => {
    expect(await call("invoke", ["parts", { count: 0 }])).toEqual([])
    expect(await call("invoke", ["parts", { count: 1 }])).toEqual([
      expect.objectContaining({ type: "test.part", subject: "häh 10%", data: 0 }),
    ])
    const three = await call<PartEvent[]>("invoke", ["parts", { count: 3 }])
    expect(three.map(({ data }) => data)).toEqual([0, 1, 2])
    await expect(call("invoke", ["parts", { fail: true }])).rejects.toMatchObject({ code: "unknown", reason: "FUNCTION_THREW" })
    await expect(call("invoke", ["nobody"])).rejects.toMatchObject({ code: "not_found", reason: "FUNCTION_NOT_FOUND" })
  })

  test("R-IV-5: stores an invocation and waits for its result, which our client gets too, and the other way round", async () => {
    const id = await call<string>("invoke_async", ["parts", { count: 2 }])
    const [events, ours] = [await call<PartEvent[]>("result", [id]), await platform.client.result(id)]
    expect(events.map(({ data }) => data)).toEqual([0, 1])
    expect(ours).toMatchObject(events as object[])
    const theirs = await platform.client.invokeAsync("parts", { count: 1 })
    expect(await call("result", [theirs])).toEqual([expect.objectContaining({ type: "test.part", data: 0 })])
  })

  test("R-IV-2: a namespace is a part of every subject", async () => {
    expect(await callIn("shop", "invoke", ["parts", { count: 1 }], {})).toHaveLength(1)
    const id = await callIn<string>("shop", "invoke_async", ["parts", { count: 2 }], {})
    expect(await callIn("shop", "result", [id], {})).toHaveLength(2)
    expect(await platform.client.result(id, { namespace: "shop" })).toHaveLength(2)
  })

  test("R-IV-8: an invocation that fails for good has its failure as result", async () => {
    const id = await call<string>("invoke_async", ["parts", { fail: true }])
    await expect(call("result", [id])).rejects.toMatchObject({ code: "unknown", reason: "FUNCTION_THREW" })
  })

  test("R-IV-10: an id of the caller's own makes a repeat harmless", async () => {
    const Fn_Invocation_Id = "order-1-charged"
    for (let times = 0; times < 2; times++) expect(await call("invoke_async", ["parts", {}], { Fn_Invocation_Id })).toBe(Fn_Invocation_Id)
    expect(await call("result", [Fn_Invocation_Id])).toHaveLength(1)
    expect(await platform.client.status(Fn_Invocation_Id)).toMatchObject({ status: "succeeded", attempt: 1 })
  })

  test("R-IV-5: an invocation that waits for its time is cancelled", async () => {
    const id = await call<string>("invoke_async", ["parts", {}], { Fn_Not_Before: Date.now() + 3_600_000 })
    await expect(call("result", [id], { timeout: 0.2 })).rejects.toMatchObject({ reason: "DEADLINE_EXCEEDED" })
    await call("cancel", [id])
    await expect(call("result", [id])).rejects.toMatchObject({ code: "cancelled", reason: "CANCELLED" })
  })

  test("R-IV-9: a result too large for a message is read from where it is stored", async () => {
    const id = await call<string>("invoke_async", ["parts", { size: 3_000_000 }])
    const [event] = await call<PartEvent[]>("result", [id])
    expect(event?.data).toHaveLength(3_000_000)
  })
})
