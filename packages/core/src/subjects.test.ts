import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { LANGUAGES } from "./names.js"
import { Subjects } from "./subjects.js"

const subjects = new Subjects()
const anyText = fc.string({ unit: "binary" })

/** A subject of plain tokens: no wildcard, no empty token, nothing that ends a protocol line. */
function expectPlain(subject: string): void {
  for (const token of subject.split(".")) expect(token).toMatch(/^[A-Za-z0-9_=-]+$/)
}

describe("R-IV-2: subjects", () => {
  test("the default namespace is left out of sync subjects and results, and of nothing else", () => {
    const ref = { namespace: "default", name: "hello" }
    expect(subjects.invoke(ref, "js")).toBe("function.js.hello")
    expect(subjects.invoke({ ...ref, namespace: "shop" }, "go")).toBe("function.go.shop.hello")
    expect(subjects.result("default", "id1")).toBe("function.result.id1")
    expect(subjects.result("shop", "id1")).toBe("function.result.shop.id1")
    expect(subjects.cancel("default", "id1")).toBe("function.cancel.default.id1")
    expect(subjects.event("default", "com.example.done")).toBe("event.default.com.example.done")
  })

  test("the fixed ones", () => {
    expect(subjects.envelope).toBe("function.invoke")
    expect(subjects.envelopeQueue).toBe("function")
    expect(subjects.invokeQueue("js")).toBe("function.js")
    expect(subjects.hostInvoke("h1")).toBe("function.host.h1.invoke")
    expect(subjects.status("h1")).toBe("function.status.h1")
    expect(subjects.health("h1")).toBe("function.health.h1")
    expect(subjects.cancelAll).toBe("function.cancel.>")
    expect(subjects.callbackQueue("shop")).toBe("function.queue.shop.=callback")
    expect(subjects.statusAll).toBe("function.status.*")
    expect(subjects.load("h1")).toBe("function.status.h1.load")
    expect(subjects.loadAll).toBe("function.status.*.load")
  })

  test("a prefix takes the place of the first token", () => {
    const other = new Subjects({ functions: "blue", events: "blue-events" })
    expect(other.invoke({ namespace: "default", name: "hello" }, "js")).toBe("blue.js.hello")
    expect(other.invokeQueue("js")).toBe("blue.js")
    expect(other.envelopeQueue).toBe("blue")
    expect(other.event("default", "t")).toBe("blue-events.default.t")
    for (const bad of ["", "a.b", "a b", "*", ">", "a\r\n"]) {
      expect(() => new Subjects({ functions: bad })).toThrow(expect.objectContaining({ reason: "INVALID_NAME" }))
    }
  })

  test("whatever is put in, every token is a valid NATS token, or it is refused", () => {
    const builders: ((a: string, b: string) => string)[] = [
      (a, b) => subjects.invoke({ namespace: a, name: b }, "js"),
      (a, b) => subjects.invoke({ namespace: "default", name: a }, b),
      (a) => subjects.invokeQueue(a),
      (a, b) => subjects.result(a, b),
      (a) => subjects.hostInvoke(a),
      (a, b) => subjects.cancel(a, b),
      (a) => subjects.status(a),
      (a) => subjects.health(a),
      (a, b) => subjects.event("default", a + b),
    ]
    const piece = fc.oneof(anyText, fc.constantFrom("a", "shop", "js", "*", ">", "a.b", " ", "\r\nPUB x 0"))
    fc.assert(
      fc.property(fc.constantFrom(...builders), piece, piece, (build, a, b) => {
        let subject: string
        try {
          subject = build(a, b)
        } catch (thrown) {
          expect(thrown).toMatchObject({ code: "invalid_argument" })
          return
        }
        expectPlain(subject)
      }),
    )
  })

  test("no language makes a sync subject one of the platform's own", () => {
    const own = ["queue", "result", "cancel", "status", "health", "dlq", "log", "execution", "claim", "wake", "host", "invoke"]
    for (const language of own) expect(() => subjects.invoke({ namespace: "default", name: "x" }, language)).toThrow()
    for (const language of LANGUAGES) expect(() => subjects.invoke({ namespace: language, name: "x" }, "js")).toThrow()
  })

  test("event types are encoded injectively", () => {
    const type = fc.oneof(anyText, fc.string({ unit: fc.constantFrom(..."a=.2E*> é") }))
    fc.assert(
      fc.property(type, type, (a, b) => {
        expect(subjects.event("default", a) === subjects.event("default", b)).toBe(a === b)
      }),
      { numRuns: 1000 },
    )
  })

  test("odd event types", () => {
    expect(subjects.event("default", "")).toBe("event.default.=")
    expect(subjects.event("default", "a..b.")).toBe("event.default.a.=.b.=")
    expect(subjects.event("default", "a=b *é")).toBe("event.default.a=3Db=20=2A=C3=A9")
  })

  test("an event type too long for a protocol line is an invalid event: the server would close the connection", () => {
    expect(() => subjects.event("default", "x".repeat(1024))).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
    expect(subjects.event("default", "x".repeat(900))).toHaveLength("event.default.".length + 900)
  })
})
