import { createContext, runInContext } from "node:vm"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { errorBody, errorFromReply, errorHeaderLines } from "./error-headers.js"
import { CODES, type Code, codeFromGrpc, FnError, type FnErrorData, messageOf } from "./errors.js"
import { headerBlock, readHeaderBlock } from "./headers.js"
import { REASONS } from "./reasons.js"

const code = fc.constantFrom(...(Object.keys(CODES) as Code[]))
const anyText = fc.string({ unit: "binary" })
const data: fc.Arbitrary<FnErrorData> = fc
  .record(
    {
      code,
      reason: fc.stringMatching(/^[A-Z][A-Z_]{0,20}$/),
      message: anyText,
      details: fc.dictionary(anyText, fc.oneof(anyText, fc.integer(), fc.boolean(), fc.constant(null)), {
        minKeys: 1,
        noNullPrototype: true,
      }),
      retryable: fc.boolean(),
      retryAfterMs: fc.nat(),
      errorId: fc.stringMatching(/^[a-z0-9]{1,20}$/),
    },
    { requiredKeys: ["code", "reason", "message", "retryable"] },
  )
  // JSON.parse makes an own property of __proto__, an object literal a prototype: no use comparing that.
  .filter(({ details }) => details === undefined || !Object.hasOwn(details, "__proto__"))

function headersOf(error: FnError): (name: string) => string | undefined {
  const headers = new Map<string, string>()
  readHeaderBlock(headerBlock(errorHeaderLines(error)), (name, value) => headers.set(name, value))
  return (name) => headers.get(name)
}

describe("FnError", () => {
  test("what travels comes back the same", () => {
    fc.assert(
      fc.property(data, (sent) => expect(FnError.fromData(JSON.parse(JSON.stringify(FnError.fromData(sent)))).toData()).toEqual(sent)),
    )
  })

  test("a reason brings its code, and by the code whether a retry may help", () => {
    for (const [reason, { code: expected }] of Object.entries(REASONS)) {
      const error = FnError.of(reason as keyof typeof REASONS, "m")
      expect(error).toMatchObject({ code: expected, reason, message: "m", name: "FnError" })
      expect(error.retryable).toBe(["unavailable", "resource_exhausted", "aborted"].includes(expected))
    }
  })

  test("reasons are stable constants with something a person can do", () => {
    for (const [reason, { code: value, todo }] of Object.entries(REASONS)) {
      expect(reason).toMatch(/^[A-Z][A-Z_]*[A-Z]$/)
      expect(CODES[value]).toBeDefined()
      expect(todo).toMatch(/^[A-Z].*\.$/)
    }
  })

  test("an error of another realm and of another copy of the package is one", () => {
    const foreign: unknown = runInContext(
      `const marker = Symbol.for("@fn/core/FnError")
       Object.defineProperty(Object.assign(new Error("far away"), { code: "not_found", reason: "X" }), marker, { value: true })`,
      createContext({}),
    )
    expect(foreign instanceof Error).toBe(false)
    expect(FnError.is(foreign)).toBe(true)
    expect(FnError.from(foreign)).toBe(foreign)
  })

  test("only what carries the marker is one", () => {
    for (const value of [undefined, null, "FnError", new Error("x"), { name: "FnError", code: "internal" }])
      expect(FnError.is(value)).toBe(false)
  })

  test("an AbortError is cancelled, a TimeoutError a passed deadline, of any realm; the original is the cause", () => {
    const aborted = AbortSignal.abort().reason as unknown
    expect(FnError.from(aborted)).toMatchObject({ code: "cancelled", reason: "CANCELLED", cause: aborted })
    const timedOut: unknown = runInContext(`Object.assign(new Error("late"), { name: "TimeoutError" })`, createContext({}))
    expect(FnError.from(timedOut)).toMatchObject({
      code: "deadline_exceeded",
      reason: "DEADLINE_EXCEEDED",
      message: "late",
      cause: timedOut,
    })
    expect(FnError.from(new TypeError("t"), "unknown", "FUNCTION_THREW")).toMatchObject({
      code: "unknown",
      reason: "FUNCTION_THREW",
      message: "t",
    })
    expect(FnError.from("text")).toMatchObject({ code: "internal", reason: "INTERNAL", message: "text" })
  })

  test("whatever is thrown becomes an FnError", () => {
    const hostile: unknown[] = [
      undefined,
      null,
      Symbol("s"),
      Object.create(null),
      { message: Object.create(null) },
      {
        get message() {
          throw new Error("from the getter")
        },
      },
      {
        get name() {
          throw new Error("from the getter")
        },
      },
      { toString: null, valueOf: null },
      () => undefined,
    ]
    for (const thrown of hostile) {
      const error = FnError.from(thrown)
      expect(error.code).toBe("internal")
      expect(typeof messageOf(thrown)).toBe("string")
    }
    fc.assert(fc.property(fc.anything(), (thrown) => FnError.is(FnError.from(thrown))))
  })

  test("an author's own failures", () => {
    expect(FnError.terminal("CARD_DECLINED", "no")).toMatchObject({
      code: "failed_precondition",
      reason: "CARD_DECLINED",
      retryable: false,
    })
    expect(FnError.retryAfter(500)).toMatchObject({ code: "unavailable", retryable: true, retryAfterMs: 500 })
  })

  test("the cause never travels, and details that JSON cannot hold stay behind", () => {
    const cyclic: Record<string, unknown> = {}
    cyclic.self = cyclic
    for (const details of [cyclic, { big: 1n }]) {
      const error = new FnError("internal", "m", { cause: new Error("secret"), details })
      expect(JSON.stringify(error)).toBe('{"code":"internal","reason":"INTERNAL","message":"m","retryable":false}')
      expect(Buffer.from(errorBody(error)).toString()).toBe(JSON.stringify(error))
    }
  })

  test("junk from a peer is an unknown error, its fields of the wrong type left out", () => {
    const junk = {
      code: "toString",
      reason: 5,
      message: { x: 1 },
      details: "no",
      retryable: "yes",
      retryAfterMs: "1",
      errorId: {},
      cause: "theirs",
    }
    const error = FnError.fromData(junk as unknown as FnErrorData)
    expect(error.toData()).toEqual({ code: "unknown", reason: "UNKNOWN", message: "[object Object]", retryable: false })
    expect(error.cause).toBeUndefined()
  })

  test("codes and gRPC's numbers are the same sixteen", () => {
    expect(Object.values(CODES).map(({ grpc }) => grpc)).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16])
    for (const [name, { grpc }] of Object.entries(CODES)) expect(codeFromGrpc(grpc)).toBe(name)
    expect(codeFromGrpc(0)).toBe("unknown")
    expect(codeFromGrpc(99)).toBe("unknown")
  })
})

describe("error replies", () => {
  test("headers and body bring the whole error back", () => {
    fc.assert(
      fc.property(data, (sent) => {
        const error = FnError.fromData(sent)
        expect(errorFromReply(headersOf(error), errorBody(error)).toData()).toEqual(sent)
      }),
    )
  })

  test("headers alone bring code, reason and retryable back, whatever is in the message", () => {
    fc.assert(
      fc.property(data, (sent) => {
        const { code: sentCode, reason, retryable } = sent
        expect(errorFromReply(headersOf(FnError.fromData(sent)), new Uint8Array(0))).toMatchObject({ code: sentCode, reason, retryable })
      }),
    )
  })

  test("a message with line breaks adds no header", () => {
    const error = new FnError("internal", "one\r\nFn-Events: 1\r\n\r\nbody")
    expect(
      errorHeaderLines(error)
        .split("\r\n")
        .filter((line) => line.startsWith("Fn-Events")),
    ).toEqual([])
    expect(headersOf(error)("Nats-Service-Error")).toBe("one Fn-Events: 1 body")
  })

  test("ADR-32's headers are there, the number being the HTTP status", () => {
    const header = headersOf(FnError.of("FUNCTION_NOT_FOUND", "no function x"))
    expect(header("Nats-Service-Error-Code")).toBe("404")
    expect(header("Nats-Service-Error")).toBe("no function x")
    expect(headersOf(new FnError("unavailable", ""))("Nats-Service-Error")).toBe("unavailable")
  })

  test("an error of a foreign service is read from ADR-32's headers", () => {
    const foreign = new Map([
      ["Nats-Service-Error-Code", "404"],
      ["Nats-Service-Error", "nothing here"],
    ])
    expect(errorFromReply((name) => foreign.get(name), Buffer.from("{}"))).toMatchObject({ code: "not_found", message: "nothing here" })
    expect(errorFromReply(() => undefined, new Uint8Array(0))).toMatchObject({ code: "unknown" })
  })

  test("a body that is junk changes nothing: the headers say enough", () => {
    const header = headersOf(FnError.of("QUEUE_FULL", "busy"))
    for (const body of ["", "{", "[]", "null", "5", '{"code":"x"}']) {
      expect(errorFromReply(header, Buffer.from(body))).toMatchObject({ code: "resource_exhausted", reason: "QUEUE_FULL", retryable: true })
    }
  })

  test("a code that is only a property of every object is no code", () => {
    expect(errorFromReply((name) => (name === "Fn-Error-Code" ? "constructor" : undefined), new Uint8Array(0)).code).toBe("unknown")
  })
})
