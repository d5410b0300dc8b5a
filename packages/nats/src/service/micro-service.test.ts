import { createLogger, errorFromReply, FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import type { Msg, NatsConnection } from "@nats-io/transport-node"
import { Ajv } from "ajv"
import { INFO_SCHEMA, PING_SCHEMA, STATS_SCHEMA } from "../../test/adr-32-schemas.js"
import { type Fixture, startFixture, until } from "../../test/support.js"
import { ReplyInbox } from "../inbox/reply-inbox.js"
import type { EndpointConfig } from "./endpoint.js"
import { type MicroServiceConfig, type ServiceInfo, type ServiceStats, startMicroService } from "./micro-service.js"

const ajv = new Ajv({ allErrors: true })

/** Answers of every service, until the server says that there are no more: the server delivers in order, so a round trip ends it. */
async function ask<T>(nc: NatsConnection, subject: string): Promise<T[]> {
  const answers: T[] = []
  const inbox = `_INBOX.ask${Math.floor(Math.random() * 1e9)}`
  let none = false
  const subscription = nc.subscribe(inbox, {
    callback: (_refused, msg) => {
      if (msg.headers?.code === 503) none = true
      else answers.push(msg.json<T>())
    },
  })
  nc.publish(subject, "", { reply: inbox })
  await nc.flush()
  await until(() => none || answers.length > 0, `an answer on ${subject}`)
  await nc.flush()
  subscription.unsubscribe()
  return answers
}

async function serve(fixture: Fixture, config: Partial<MicroServiceConfig> = {}): ReturnType<typeof startMicroService> {
  return startMicroService(await fixture.connect(), { name: "fn-test", version: "1.2.3", ...config })
}

function expectValid(schema: object, answer: unknown): void {
  ajv.validate(schema, answer)
  expect(ajv.errors ?? []).toEqual([])
}

describe("MicroService discovery (ADR-32)", () => {
  test("R-IV-1: PING, INFO and STATS answer on all nine subjects by their schemas, before any request", async () => {
    await using fixture = await startFixture()
    await using service = await serve(fixture, {
      description: "for tests",
      metadata: { "fn.host": "h1" },
      endpoints: [
        { name: "invoke", subject: "function.invoke", queueGroup: "function", metadata: { kind: "envelope" }, handler: () => undefined },
        { name: "js", subject: "function.js.*", queueGroup: "function.js" },
        { name: "plain", subject: "plain", handler: () => undefined },
      ],
    })
    const nc = await fixture.connect()
    const scopes = ["", ".fn-test", `.fn-test.${service.id}`]
    for (const scope of scopes) {
      const [ping] = await ask(nc, `$SRV.PING${scope}`)
      const [info] = await ask(nc, `$SRV.INFO${scope}`)
      const [stats] = await ask(nc, `$SRV.STATS${scope}`)
      expectValid(PING_SCHEMA, ping)
      expectValid(INFO_SCHEMA, info)
      expectValid(STATS_SCHEMA, stats)
      expect(ping).toMatchObject({ name: "fn-test", id: service.id, version: "1.2.3", metadata: { "fn.host": "h1" } })
      expect((info as ServiceInfo).endpoints).toEqual([
        { name: "invoke", subject: "function.invoke", queue_group: "function", metadata: { kind: "envelope" } },
        { name: "js", subject: "function.js.*", queue_group: "function.js", metadata: {} },
        { name: "plain", subject: "plain", queue_group: "q", metadata: {} },
      ])
    }
  })

  test("a service without anything optional is valid too", async () => {
    await using fixture = await startFixture()
    await using service = await serve(fixture)
    for (const [schema, answer] of [
      [PING_SCHEMA, service.ping()],
      [INFO_SCHEMA, service.info()],
      [STATS_SCHEMA, service.stats()],
    ] as const)
      expectValid(schema, JSON.parse(JSON.stringify(answer)))
  })

  test("every instance answers for itself", async () => {
    await using fixture = await startFixture()
    await using first = await serve(fixture)
    await using second = await serve(fixture, { id: "second" })
    const nc = await fixture.connect()
    const ids = new Set<string>()
    const subscription = nc.subscribe("_INBOX.ids", { callback: (_refused, msg) => void ids.add(msg.json<{ id: string }>().id) })
    nc.publish("$SRV.PING.fn-test", "", { reply: "_INBOX.ids" })
    await until(() => ids.size === 2, "both answers")
    expect(ids).toEqual(new Set([first.id, second.id]))
    subscription.unsubscribe()
    expect(await ask(nc, "$SRV.PING.fn-test.second")).toHaveLength(1)
    expect(await ask(nc, "$SRV.PING.FN-TEST")).toHaveLength(0)
  })

  test("a question whose reply subject is no inbox gets nothing written", async () => {
    await using fixture = await startFixture()
    await using _service = await serve(fixture)
    const nc = await fixture.connect()
    const written: Msg[] = []
    nc.subscribe("$KV.>", { callback: (_refused, msg) => void written.push(msg) })
    nc.publish("$SRV.PING", "", { reply: "$KV.functions.f.default.hello" })
    await ask(nc, "$SRV.PING")
    expect(written).toEqual([])
  })

  test("after stop() nobody answers, and what was received before is still handled", async () => {
    await using fixture = await startFixture()
    const handled: string[] = []
    const service = await serve(fixture, {
      endpoints: [{ name: "work", subject: "work", handler: (msg) => void handled.push(msg.string()) }],
    })
    const nc = await fixture.connect()
    for (let i = 0; i < 50; i++) nc.publish("work", String(i))
    await nc.flush()
    await Promise.all([service.stop(), service.stop()])
    expect(handled).toHaveLength(50)
    expect(await ask(nc, "$SRV.PING.fn-test")).toEqual([])
    using inbox = new ReplyInbox(nc)
    await expect(inbox.request("work", { timeoutMs: 5_000 })).rejects.toMatchObject({ reason: "NO_HOST" })
  })

  test("stop() of a service whose connection is closed ends", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const service = await startMicroService(nc, { name: "fn-test", version: "1.0.0" })
    await nc.close()
    await service.stop()
  })

  test("it answers again after a reconnect", async () => {
    await using fixture = await startFixture()
    await using _service = await serve(fixture)
    await fixture.restart()
    const nc = await fixture.connect()
    await until(async () => (await ask(nc, "$SRV.PING.fn-test")).length === 1, "the service to be back")
  })
})

describe("MicroService endpoints", () => {
  test("R-IV-2: work is counted when it is done, errors truly", async () => {
    await using fixture = await startFixture()
    await using service = await serve(fixture, {
      endpoints: [
        {
          name: "invoke",
          subject: "function.invoke",
          data: () => ({ running: 1 }),
          handler: (msg, endpoint) => {
            // later than the handler's return, as real work
            setImmediate(() => {
              const failed = msg.string() === "fail"
              msg.respond(failed ? "no" : "yes")
              endpoint.count({ durationMs: failed ? 3.5 : 1.5, error: failed ? "500:it broke" : undefined })
            })
          },
        },
      ],
    })
    using inbox = new ReplyInbox(await fixture.connect())
    for (const data of ["ok", "fail", "ok"]) await inbox.request("function.invoke", { data, timeoutMs: 5_000 })
    const stats = (await ask<ServiceStats>(await fixture.connect(), "$SRV.STATS.fn-test"))[0]
    expectValid(STATS_SCHEMA, stats)
    expect(stats?.endpoints[0]).toEqual({
      name: "invoke",
      subject: "function.invoke",
      queue_group: "q",
      num_requests: 3,
      num_errors: 1,
      last_error: "500:it broke",
      processing_time: 6_500_000,
      average_processing_time: 2_166_667,
      data: { running: 1 },
    })
    expect(service.endpoint("invoke").stats().num_requests).toBe(3)
  })

  test("a handler that throws is answered, counted and harms nobody; what was no FnError stays in the log", async () => {
    await using fixture = await startFixture()
    const logged: Record<string, unknown>[] = []
    await using service = await serve(fixture, {
      logger: createLogger((_level, message, fields) => logged.push({ message, ...fields })),
      endpoints: [
        {
          name: "bad",
          subject: "bad",
          data: () => {
            throw new Error("no data")
          },
          handler: (msg) => {
            if (msg.string() === "bug") throw new TypeError("secret detail")
            if (msg.string() === "late") return Promise.reject(FnError.of("QUEUE_FULL", "later"))
            throw FnError.of("INVALID_REQUEST", "try better")
          },
        },
      ],
    })
    using inbox = new ReplyInbox(await fixture.connect())
    const errorOf = async (data: string): Promise<FnError> => {
      const reply = await inbox.request("bad", { data, timeoutMs: 5_000 })
      return errorFromReply((name) => reply.headers?.get(name) || undefined, reply.data)
    }
    expect(await errorOf("x")).toMatchObject({ code: "invalid_argument", reason: "INVALID_REQUEST", message: "try better" })
    expect(await errorOf("late")).toMatchObject({ reason: "QUEUE_FULL" })
    const internal = await errorOf("bug")
    expect(internal).toMatchObject({ code: "internal", message: "internal error" })
    expect(logged).toContainEqual(expect.objectContaining({ error: "secret detail", errorId: internal.errorId }))
    const stats = service.stats()
    expectValid(STATS_SCHEMA, stats)
    expect(stats.endpoints[0]).toMatchObject({ num_requests: 3, num_errors: 3, last_error: "500:internal error", data: {} })
  })

  test("members of a queue group share the messages; an empty group hears all", async () => {
    await using fixture = await startFixture()
    const heard: string[] = []
    const endpoints = (id: string): readonly EndpointConfig[] => [
      { name: "shared", subject: "shared", queueGroup: "function.js", handler: () => void heard.push("shared") },
      { name: "all", subject: "all", queueGroup: "", handler: () => void heard.push(`all ${id}`) },
    ]
    await using _a = await serve(fixture, { endpoints: endpoints("a") })
    await using _b = await serve(fixture, { endpoints: endpoints("b") })
    const nc = await fixture.connect()
    for (let i = 0; i < 10; i++) nc.publish("shared")
    nc.publish("all")
    await until(() => heard.length >= 12, "12 deliveries")
    await nc.flush()
    expect(heard.filter((entry) => entry === "shared")).toHaveLength(10)
    expect(heard.filter((entry) => entry !== "shared").sort()).toEqual(["all a", "all b"])
  })

  test("endpoints come and go while the service runs", async () => {
    await using fixture = await startFixture()
    await using service = await serve(fixture)
    await service.addEndpoint({ name: "late", subject: "late", handler: (msg) => void msg.respond("here") })
    using inbox = new ReplyInbox(await fixture.connect())
    expect((await inbox.request("late", { timeoutMs: 5_000 })).string()).toBe("here")
    await service.removeEndpoint("late")
    await expect(inbox.request("late", { timeoutMs: 5_000 })).rejects.toMatchObject({ reason: "NO_HOST" })
    expect(service.info().endpoints).toEqual([])
    expect(() => service.endpoint("late")).toThrow(FnError)
  })
})

describe("MicroService refusals", () => {
  test.each([
    ["a name with a dot", { name: "fn.test" }, "fn.test"],
    ["an id with a space", { id: "a b" }, "a b"],
    ["a version that is none", { version: "v1" }, "v1"],
    ["an endpoint name with a dot", { endpoints: [{ name: "a.b", subject: "a" }] }, "a.b"],
    [
      "two endpoints of one name",
      {
        endpoints: [
          { name: "a", subject: "a" },
          { name: "a", subject: "b" },
        ],
      },
      "two endpoints",
    ],
    ["metadata that is no text", { metadata: { n: 1 as unknown as string } }, "metadata n"],
    ["a subject with a space", { endpoints: [{ name: "a", subject: "a b", handler: () => undefined }] }, "subject"],
  ])("%s fails with invalid_argument and leaves nothing subscribed", async (_what, config, text) => {
    await using fixture = await startFixture()
    const failed = serve(fixture, config as Partial<MicroServiceConfig>)
    await expect(failed).rejects.toMatchObject({ code: "invalid_argument" })
    await expect(failed).rejects.toThrow(text)
    expect(await ask(await fixture.connect(), "$SRV.PING")).toEqual([])
  })

  test("a subject that is not permitted fails the start with NATS_PERMISSION and stops what was started", async () => {
    const config = `authorization { users: [
      { user: svc, password: p, permissions: { publish: ">", subscribe: { deny: ["forbidden"] } } }, { user: all, password: p } ] }`
    await using fixture = await startFixture({ config })
    const nc = await fixture.connect({ user: "svc", password: "p" })
    const forbidden = { name: "forbidden", subject: "forbidden", handler: () => undefined }
    await expect(startMicroService(nc, { name: "fn-test", version: "1.0.0", endpoints: [forbidden] })).rejects.toMatchObject({
      code: "permission_denied",
      reason: "NATS_PERMISSION",
    })
    const all = await fixture.connect({ user: "all", password: "p" })
    expect(await ask(all, "$SRV.PING")).toEqual([])

    await using service = await startMicroService(nc, { name: "fn-test", version: "1.0.0" })
    await expect(service.addEndpoint(forbidden)).rejects.toMatchObject({ reason: "NATS_PERMISSION" })
    expect(await ask(all, "$SRV.PING")).toHaveLength(1)
    expect(service.info().endpoints).toEqual([])
    await service.addEndpoint({ name: "fine", subject: "fine" })
  })
})
