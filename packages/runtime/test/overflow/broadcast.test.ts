import { until } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { headers, type Msg } from "@nats-io/transport-node"
import { failure, header } from "../test-host.js"
import { startTestHosts, type TestHosts } from "./hosts.js"

/** Publishes a broadcast and collects its answers. */
function broadcast(hosts: TestHosts, name: string, lines: Record<string, string> = {}, payload = "{}"): Msg[] {
  const answers: Msg[] = []
  const inbox = `_INBOX.broadcast.${Math.random().toString(36).slice(2)}`
  hosts.nc.subscribe(inbox, { callback: (_error, msg) => void answers.push(msg) })
  const block = headers()
  for (const [key, value] of Object.entries(lines)) block.set(key, value)
  hosts.nc.publish(`function.broadcast.${name}`, payload, { reply: inbox, headers: block })
  return answers
}

function hostsOf(answers: readonly Msg[]): (string | undefined)[] {
  return answers.map((msg) => header(msg, "Fn-Host")).sort()
}

describe("R-IV-3: a broadcast", () => {
  test("runs on every host that serves the function, and each answers with its name", async () => {
    await using hosts = await startTestHosts()
    const ran: string[] = []
    const refresh = (host: string) => (event: { data?: unknown }) => {
      ran.push(host)
      return { type: "refreshed", data: { host, heard: event.data } } as never
    }
    await hosts.start("a", { refresh: refresh("a") })
    await hosts.start("b", { refresh: refresh("b") })
    await hosts.start("c", {})
    await hosts.deploy("refresh")
    const emitted: Msg[] = []
    hosts.nc.subscribe("event.default.refreshed", { callback: (_error, msg) => void emitted.push(msg) })

    const answers = broadcast(hosts, "default.refresh", { "Fn-Invocation-Id": "all" }, '{"n":1}')
    await until(() => answers.length === 2 && emitted.length === 2, { name: "two answers" })
    expect(hostsOf(answers)).toEqual(["a", "b"])
    for (const answer of answers) {
      expect(answer.json()).toEqual({ host: header(answer, "Fn-Host"), heard: { n: 1 } })
      expect([header(answer, "Fn-Invocation-Id"), header(answer, "ce-type")]).toEqual(["all", "refreshed"])
    }
    hosts.nc.publish("function.broadcast.default.refresh", "{}")
    await until(() => ran.length === 4, { name: "a broadcast without reply subject to run" })
    expect(ran.slice(2).sort()).toEqual(["a", "b"])
    expect(answers).toHaveLength(2)
  }, 30_000)

  test("is answered with an error where it fails, and with silence for a function nobody serves", async () => {
    await using hosts = await startTestHosts()
    const fails = () => {
      throw new Error("no")
    }
    await hosts.start("a", { fails, echo: (event: object) => event as never })
    await hosts.start("b", { fails: () => undefined })
    await hosts.deploy("fails")
    await hosts.deploy("echo")
    const nothing = broadcast(hosts, "default.nowhere")
    const bad = broadcast(hosts, "default.echo", { "ce-id": "1" })
    const apart = broadcast(hosts, "default.echo", { "Fn-Payload-Ref": "obj:function-PAYLOADS/x.in", "Fn-Payload-Size": "5" }, "")
    const answers = broadcast(hosts, "default.fails")
    await until(() => answers.length === 2 && bad.length === 1 && apart.length === 1, { name: "the answers" })
    const of = (host: string) => answers.find((msg) => header(msg, "Fn-Host") === host) as Msg
    expect(failure(of("a"))).toBe("unknown FUNCTION_THREW")
    expect(header(of("b"), "Fn-Events")).toBe("0")
    expect([failure(bad[0] as Msg), header(bad[0] as Msg, "Fn-Host")]).toEqual(["invalid_argument INVALID_EVENT", "a"])
    expect(failure(apart[0] as Msg)).toBe("invalid_argument INVALID_REQUEST")
    expect(nothing).toEqual([])
  }, 30_000)

  test("is not run for a reply subject that is no inbox", async () => {
    await using hosts = await startTestHosts()
    const ran: unknown[] = []
    const a = await hosts.start("a", { refresh: (event: { data?: unknown }) => void ran.push(event.data) })
    await hosts.deploy("refresh")
    hosts.nc.publish("function.broadcast.default.refresh", '"bad"', { reply: "$KV.functions.f.default.refresh" })
    hosts.nc.publish("function.broadcast.default.refresh", '"good"', { reply: "_INBOX.good" })
    await until(() => ran.length > 0, { name: "the good one to run" })
    expect(ran).toEqual(["good"])
    expect(a.lines.some(({ message }) => message === "broadcast not run")).toBe(true)
  }, 30_000)
})
