import { plugin } from "@fn/proto"
import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { CODES, type Code, FnError } from "./errors.js"
import {
  decodeStatus,
  durationFromMs,
  errorFromStatus,
  logLevelFromProto,
  logLevelToProto,
  msFromDuration,
  statusFromError,
  toStruct,
} from "./plugin-wire.js"

/** Over the wire and back. */
function travel(error: FnError): FnError {
  const status = decodeStatus(plugin.Status.encode(statusFromError(error)).finish())
  return errorFromStatus(status as plugin.Status)
}

describe("errors of a plugin", () => {
  test.each<[string, FnError]>([
    ["an author's terminal error", FnError.terminal("CARD_DECLINED", "no money", { order: { id: 1, tags: ["a"] } })],
    ["a retry after", FnError.retryAfter(5_250)],
    ["one of ours", FnError.of("INVALID_EVENT", "bad", { details: { attribute: "data.cents" } })],
    ["an internal one with its errorId", new FnError("internal", "internal error", { errorId: "e1" })],
    ["one that is retryable against its code", new FnError("internal", "x", { retryable: true })],
    ["one that is not, against its code", new FnError("unavailable", "x", { retryable: false })],
  ])("%s keeps everything that travels", (_what, error) => {
    expect(travel(error).toData()).toEqual(error.toData())
  })

  test("every code survives", () => {
    for (const code of Object.keys(CODES) as Code[]) expect(travel(new FnError(code, "m")).code).toBe(code)
  })

  test("the cause and the stack stay home", () => {
    const bytes = plugin.Status.encode(statusFromError(new FnError("unknown", "m", { cause: new Error("SECRET") }))).finish()
    expect(Buffer.from(bytes).includes("SECRET")).toBe(false)
    expect(Buffer.from(bytes).includes("plugin-wire.test")).toBe(false)
  })

  test("a status without details, as another SDK sends it, means what its code means", () => {
    const bare = { code: 2, message: "boom", details: [], retryable: false }
    expect(errorFromStatus(bare)).toMatchObject({ code: "unknown", reason: "FUNCTION_THREW", message: "boom" })
    expect(errorFromStatus({ ...bare, code: 4 })).toMatchObject({ code: "deadline_exceeded", reason: "FUNCTION_TIMEOUT" })
    expect(errorFromStatus({ ...bare, code: 14 })).toMatchObject({ code: "unavailable", retryable: true })
    expect(errorFromStatus({ ...bare, code: 999, message: "" })).toMatchObject({ code: "unknown", message: "unknown" })
    expect(errorFromStatus({ ...bare, retryAfter: durationFromMs(1500) })).toMatchObject({
      reason: "RETRY_AFTER",
      retryAfterMs: 1500,
      retryable: true,
    })
  })

  test("details that are damaged or foreign do no harm", () => {
    const damaged = { typeUrl: "type.googleapis.com/google.protobuf.Struct", value: Buffer.from([0xff, 0xff]) }
    const foreign = { typeUrl: "type.googleapis.com/google.rpc.ErrorInfo", value: Buffer.from("x") }
    const error = errorFromStatus({ code: 5, message: "m", details: [foreign, damaged], retryable: false })
    expect(error).toMatchObject({ code: "not_found", message: "m" })
    expect(decodeStatus(Buffer.from([0x0a, 0xff]))).toBeUndefined()
  })
})

test("durations survive, to the nanosecond", () => {
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 86_400_000_000 }), (us) => {
      expect(msFromDuration(durationFromMs(us / 1000))).toBeCloseTo(us / 1000, 5)
    }),
  )
})

test("log levels survive; an unknown one is info", () => {
  for (const level of ["trace", "debug", "info", "warn", "error"] as const) expect(logLevelFromProto(logLevelToProto(level))).toBe(level)
  expect(logLevelFromProto(plugin.LogLevel.UNRECOGNIZED)).toBe("info")
})

describe("toStruct", () => {
  test("makes anything an author logs fit to send", () => {
    const circle: Record<string, unknown> = {}
    circle.self = circle
    expect(toStruct({ big: 5n, error: new RangeError("far"), at: new Date(0), none: undefined, fn: Math.max, circle })).toEqual({
      big: "5",
      error: "RangeError: far",
      at: "1970-01-01T00:00:00.000Z",
      fn: String(Math.max),
      circle: { self: "[seen before]" },
    })
  })

  test("never throws", () => {
    const hostile = {
      toJSON: () => {
        throw new Error("no")
      },
    }
    expect(toStruct({ hostile })).toEqual({ unreadable: "no" })
  })
})
