import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { bareEvent, decodeData, encodeData, eventFromWire, eventToWire, isJsonType } from "./data.js"
import type { EventInit } from "./event.js"
import { acceptsType } from "./type-pattern.js"

describe("data", () => {
  test.each([
    "application/json",
    "text/json",
    "application/cloudevents+json",
    "image/svg+json",
    "APPLICATION/JSON; charset=utf-8",
    "model/gltf+json;x=y",
  ])("%s is JSON", (type) => expect(isJsonType(type)).toBe(true))

  test.each(["text/plain", "application/jsonp", "application/xml+jsonx", "json", "application/octet-stream; a=json"])("%s is not", (type) =>
    expect(isJsonType(type)).toBe(false),
  )

  test("JSON comes back as the same value, text as the same text, bytes as the same bytes", () => {
    fc.assert(
      fc.property(fc.json(), fc.string({ unit: "binary" }), fc.uint8Array(), (json, text, bytes) => {
        const value: unknown = JSON.parse(json)
        expect(decodeData(encodeData(value, "application/json"), "application/json")).toEqual(JSON.parse(JSON.stringify(value)))
        fc.pre(!text.startsWith("\ufeff")) // a byte order mark is no text
        expect(decodeData(encodeData(text, "text/plain"), "text/plain")).toBe(text)
        expect(decodeData(encodeData(bytes, "image/png"), "image/png")).toBe(bytes)
      }),
    )
  })

  test("views of other kinds are their bytes", () => {
    expect([...(encodeData(new Uint16Array([1]), undefined) as Uint8Array)]).toEqual([1, 0])
    expect([...(encodeData(new DataView(new ArrayBuffer(2), 1), undefined) as Uint8Array)]).toEqual([0])
  })

  test.each<[string, unknown]>([
    ["a function", () => 1],
    ["a symbol", Symbol("s")],
    ["a bigint", { n: 1n }],
    ["a toJSON that throws", { toJSON: () => JSON.parse("{") as unknown }],
  ])("%s cannot be sent", (_title, data) => {
    expect(() => encodeData(data, undefined)).toThrow(expect.objectContaining({ reason: "INVALID_EVENT", details: { attribute: "data" } }))
  })

  test("text that is no UTF-8 is an invalid event", () => {
    expect(() => decodeData(new Uint8Array([0xff]), "text/plain")).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })

  test("without a content type, what is no JSON stays bytes", () => {
    const bytes = Buffer.from("hello")
    expect(decodeData(bytes, undefined)).toBe(bytes)
  })
})

describe("a caller's event", () => {
  test("keeps its data and attributes through the wire form", () => {
    fc.assert(
      fc.property(fc.json(), (json) => {
        const event = {
          id: "1",
          source: "/s",
          type: "t",
          specversion: "1.0",
          time: "2026-01-01T00:00:00Z",
          ext: "x",
          data: JSON.parse(json) as unknown,
        }
        expect(eventFromWire(eventToWire(event as EventInit, { source: "/d" }))).toEqual({ ...event, datacontenttype: "application/json" })
      }),
    )
  })

  test("an extension called like a property of every object is one like any other", () => {
    const wire = eventToWire({ type: "t", constructor: "x", valueof: "y" } as unknown as EventInit, { source: "/d" })
    expect(wire.attributes).toMatchObject({ constructor: "x", valueof: "y" })
  })

  test("a Date becomes its RFC 3339 text, null and undefined are absent, data_base64 is bytes", () => {
    const event = { type: "t", time: new Date(0), subject: null, ext: undefined, data_base64: "AQI=", datacontenttype: "image/png" }
    const wire = eventToWire(event as unknown as EventInit, { source: "/d" })
    expect(Object.keys(wire.attributes).sort()).toEqual(["datacontenttype", "id", "source", "specversion", "time", "type"])
    expect(wire.attributes.time).toBe("1970-01-01T00:00:00.000Z")
    expect([...(wire.data as Uint8Array)]).toEqual([1, 2])
  })
})

describe("a bare payload", () => {
  const from = { source: "nats:function.js.hello", type: "fn.request" }

  test.each([
    ["JSON", '{"a":1}', "application/json"],
    ["a JSON number", "5", "application/json"],
    ["text", "hello", "text/plain"],
  ])("%s says its own content type", (_title, payload, expected) => {
    const wire = bareEvent(Buffer.from(payload), undefined, from)
    expect(wire.attributes).toMatchObject({ ...from, specversion: "1.0", datacontenttype: expected })
    expect(wire.data).toEqual(Buffer.from(payload))
  })

  test("bytes, a content type that was sent, an empty one, and nothing at all", () => {
    expect(bareEvent(new Uint8Array([0xff]), undefined, from).attributes.datacontenttype).toBe("application/octet-stream")
    expect(bareEvent(Buffer.from("{}"), "text/x", from).attributes.datacontenttype).toBe("text/x")
    expect(bareEvent(Buffer.from("{}"), "", from).attributes.datacontenttype).toBe("application/json")
    expect(bareEvent(new Uint8Array(0), "text/x", from)).toEqual({
      attributes: expect.not.objectContaining({ datacontenttype: "text/x" }),
      data: undefined,
    })
  })
})

describe("type patterns", () => {
  test("a pattern is a type, or the beginning of types; none accept everything", () => {
    expect(acceptsType(undefined, "a")).toBe(true)
    expect(acceptsType([], "a")).toBe(true)
    expect(acceptsType(["a.b"], "a.b")).toBe(true)
    expect(acceptsType(["a.b"], "a.b.c")).toBe(false)
    expect(acceptsType(["x", "a.*"], "a.b.c")).toBe(true)
    expect(acceptsType(["*"], "a")).toBe(true)
  })
})
