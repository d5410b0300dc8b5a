/** What somebody sees who has NATS and nothing of ours, on the built host: events in and out, the envelope, discovery and its counts. */
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { headers, type Msg } from "@nats-io/transport-node"
import { Ajv } from "ajv"
import { INFO_SCHEMA, PING_SCHEMA, STATS_SCHEMA } from "../../packages/nats/test/adr-32-schemas.js"
import { type Platform, startPlatform } from "../support/platform.mjs"

jest.setTimeout(30_000)

const SPLIT = `export default (event) => {
  const times = event.data?.times ?? 1
  if (times < 0) throw new RangeError("fewer than none")
  return Array.from({ length: times }, (_, n) => ({ type: "part", subject: event.type, data: n }))
}`
const EVENT = { specversion: "1.0", id: "e1", source: "/e2e", type: "asked", datacontenttype: "application/json", data: { times: 1 } }
const BINARY = { "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/e2e", "ce-type": "asked", "content-type": "application/json" }
const STRUCTURED = { "content-type": "application/cloudevents+json" }

interface Stats {
  readonly id: string
  readonly endpoints: readonly { name: string; num_requests: number; num_errors: number; last_error: string; processing_time: number }[]
}

describe("any NATS client", () => {
  let platform: Platform

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 2 })
    await platform.deployModule("split", SPLIT)
    await platform.deployModule("split", SPLIT, { namespace: "shop" })
  }, 60_000)
  afterAll(() => platform.dispose())

  function request(subject: string, payload: string, fields: Record<string, string> = {}): Promise<Msg> {
    const block = headers()
    for (const [name, value] of Object.entries(fields)) block.set(name, value)
    return platform.nc.request(subject, payload, { timeout: 10_000, headers: block })
  }

  /** The answers of both hosts. */
  async function askBoth<T>(subject: string): Promise<T[]> {
    return Promise.all(platform.hosts.map(async ({ host }) => (await request(`${subject}.fn-runtime.${host}`, "")).json<T>()))
  }

  test.each(["function.js.split", "function.js.shop.split"])("%s: bare JSON, ce-* headers, a structured event", async (subject) => {
    const bare = await request(subject, `{"times":1}`)
    expect([bare.headers?.get("ce-type"), bare.headers?.get("Fn-Events"), bare.json()]).toEqual(["part", "1", 0])

    const binary = await request(subject, `{"times":1}`, BINARY)
    expect([binary.headers?.get("ce-specversion"), binary.headers?.get("ce-subject"), binary.json()]).toEqual(["1.0", "asked", 0])
    for (const name of ["ce-id", "ce-source", "ce-type"]) expect(binary.headers?.get(name)).toMatch(/\S/)

    const structured = await request(subject, JSON.stringify(EVENT), STRUCTURED)
    expect(structured.headers?.get("content-type")).toBe("application/cloudevents+json")
    expect(structured.json()).toMatchObject({ specversion: "1.0", type: "part", subject: "asked", data: 0 })

    const none = await request(subject, `{"times":0}`)
    expect([none.headers?.get("Fn-Events"), none.data.length]).toEqual(["0", 0])
    const several = await request(subject, `{"times":3}`)
    expect(several.headers?.get("content-type")).toBe("application/cloudevents-batch+json")
    expect(several.json<{ data: number }[]>().map(({ data }) => data)).toEqual([0, 1, 2])
  })

  test("function.invoke: the envelope, its answers and error types", async () => {
    const invoke = async (envelope: unknown): Promise<unknown> => (await request("function.invoke", JSON.stringify(envelope))).json()
    const event = { id: "1", source: "/e2e", type: "asked", data: { times: 2 } }
    expect(await invoke({ functionName: "split", event })).toMatchObject({ events: [{ type: "part", data: 0 }, { data: 1 }] })
    expect(await invoke({ functionName: "split", namespace: "shop", event })).toMatchObject({ events: [{ data: 0 }, { data: 1 }] })
    expect(await invoke({ functionName: "nobody", event })).toMatchObject({ error: expect.any(String), errorType: "plugin_not_found" })
    expect(await invoke({ functionName: "split", event: { id: "1" } })).toMatchObject({ errorType: "invalid_request" })
    expect(await invoke({ functionName: "split", event: { ...event, data: { times: -1 } } })).toMatchObject({
      errorType: "execution_error",
    })
  })

  test("$SRV answers by the schemas of ADR-32, and its stats count calls and errors truly, over all hosts", async () => {
    const ajv = new Ajv({ allErrors: true })
    for (const [verb, schema] of [
      ["PING", PING_SCHEMA],
      ["INFO", INFO_SCHEMA],
      ["STATS", STATS_SCHEMA],
    ] as const) {
      for (const answer of await askBoth(`$SRV.${verb}`)) expect([ajv.validate(schema, answer), ajv.errors]).toEqual([true, null])
    }
    const totals = async (): Promise<{ requests: number; errors: number }> => {
      const endpoints = (await askBoth<Stats>("$SRV.STATS")).flatMap((stats) => stats.endpoints.filter(({ name }) => name === "js"))
      return {
        requests: endpoints.reduce((sum, { num_requests }) => sum + num_requests, 0),
        errors: endpoints.reduce((sum, { num_errors }) => sum + num_errors, 0),
      }
    }
    const before = await totals()
    const good = Array.from({ length: 40 }, () => request("function.js.split", `{"times":1}`))
    const bad = Array.from({ length: 10 }, (_, n) =>
      request("function.js.split", n % 2 === 0 ? `{"times":-1}` : "{}", n % 2 === 0 ? {} : { "ce-id": "1" }),
    )
    await Promise.all([...good, ...bad])
    const after = await totals()
    expect([after.requests - before.requests, after.errors - before.errors]).toEqual([50, 10])
  })
})
