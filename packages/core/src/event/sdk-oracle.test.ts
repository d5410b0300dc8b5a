import { describe, expect, test } from "@jest/globals"
import { HTTP, CloudEvent as SdkEvent } from "cloudevents"
import fc from "fast-check"
import { attributesWith, text } from "../../test/arbitraries.js"
import { FnError } from "../errors.js"
import { headerBlock, headerLine, readHeaderBlock } from "../headers.js"
import { BinaryEventReader, encodeHeaderValue } from "./binary.js"
import { eventFromWire, eventToWire } from "./data.js"
import { checkAttributes, type EventInit } from "./event.js"
import { decodeStructured, encodeStructured, STRUCTURED_TYPE } from "./json.js"

/**
 * The CloudEvents SDK as oracle: it and our codec read each other's messages and agree on what is an event. Where we differ on purpose
 * the difference is in `DIFFERENCES`, with the sentence of the specification that we follow.
 */

const valid = { id: "1", source: "/s", type: "t", specversion: "1.0" }

/** What an event looks like to its reader: no undefined properties, none that only the SDK knows. */
function visible(event: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(event).filter(([name, value]) => value !== undefined && name !== "data_base64"))
}

/** Printable values that are URI references too, so that the SDK's strict mode takes them as `source`. */
const token = fc.stringMatching(/^[A-Za-z0-9._~-]{1,20}$/)
const sdkAttributes = fc
  .tuple(attributesWith(fc.oneof(token, fc.boolean(), fc.integer({ min: -1000, max: 1000 }))), token, token, token)
  // An extension called `constructor` crashes the SDK's headers; ours take it.
  .filter(([attributes]) => !Object.keys(attributes).some((name) => name in Object.prototype))
  .map(([attributes, id, source, type]) => {
    const { time: _time, dataschema: _schema, ...rest } = attributes
    return { ...rest, id, source, type, dataschema: `https://example.com/${id}`, time: "2026-11-20T10:00:00.000Z" }
  })
// Objects only: the SDK writes a bare number as a number where bytes belong, and reads a bare null as text.
const jsonData = fc.json({ maxDepth: 2 }).map((value): unknown => JSON.parse(`{"value":${value}}`))

describe("R-EV-1: the SDK and our codec read each other", () => {
  test("we read what the SDK writes in structured mode", () => {
    fc.assert(
      fc.property(sdkAttributes, jsonData, (attributes, data) => {
        const sdk = new SdkEvent({ ...attributes, datacontenttype: "application/json", data })
        const message = HTTP.structured(sdk)
        const ours = eventFromWire(decodeStructured(Buffer.from(message.body as string, "utf8")))
        expect(visible(ours)).toEqual(visible(JSON.parse(message.body as string)))
      }),
    )
  })

  test("the SDK reads what we write in structured mode", () => {
    fc.assert(
      fc.property(sdkAttributes, jsonData, (attributes, data) => {
        const wire = eventToWire({ ...attributes, datacontenttype: "application/json", data } as EventInit, { source: "/s" })
        const sdk = HTTP.toEvent({ headers: { "content-type": STRUCTURED_TYPE }, body: encodeStructured(wire) }) as SdkEvent
        expect(visible(JSON.parse(JSON.stringify(sdk)))).toEqual(visible({ ...attributes, datacontenttype: "application/json", data }))
      }),
    )
  })

  test("we read the SDK's headers of HTTP binary mode", () => {
    fc.assert(
      fc.property(sdkAttributes, jsonData, (attributes, data) => {
        const { headers, body } = HTTP.binary(new SdkEvent({ ...attributes, datacontenttype: "application/json", data }))
        const reader = new BinaryEventReader()
        // The SDK does not percent-encode: whoever puts its values into a NATS message must.
        for (const [name, value] of Object.entries(headers)) reader.take(name, encodeHeaderValue(String(value)))
        const ours = eventFromWire(reader.finish(Buffer.from(body as string, "utf8")))
        const expected = Object.fromEntries(Object.entries(attributes).map(([name, value]) => [name, String(value)]))
        expect(visible(ours)).toEqual({ ...expected, datacontenttype: "application/json", data })
      }),
    )
  })

  test("the SDK reads our headers as HTTP binary mode, once datacontenttype is where HTTP has it", () => {
    fc.assert(
      fc.property(sdkAttributes, jsonData, (attributes, data) => {
        const wire = eventToWire({ ...attributes, data } as EventInit, { source: "/s" })
        const headers: Record<string, string> = { "content-type": wire.attributes.datacontenttype as string }
        const { datacontenttype: _, ...rest } = wire.attributes
        const lines = Object.entries(rest).map(([name, value]) => headerLine(`ce-${name}`, String(value)))
        readHeaderBlock(headerBlock(lines.join("")), (name, value) => {
          headers[name] = value
        })
        const sdk = HTTP.toEvent({ headers, body: Buffer.from(wire.data as Uint8Array).toString("utf8") }) as SdkEvent
        expect(sdk).toMatchObject({ id: attributes.id, source: attributes.source, type: attributes.type, time: attributes.time })
        expect(sdk.data).toEqual(data)
      }),
    )
  })

  test("an SDK CloudEvent is an event to us, its binary data included", () => {
    const wire = eventToWire(new SdkEvent({ ...valid, data: new Uint8Array([1, 2]), datacontenttype: "image/png", ext: "é" }), {
      source: "/x",
    })
    expect(wire.attributes).toMatchObject({ ...valid, datacontenttype: "image/png", ext: "é" })
    expect([...(wire.data as Uint8Array)]).toEqual([1, 2])
  })
})

function sdkAccepts(event: object): boolean {
  try {
    return new SdkEvent({ ...event } as EventInit).validate()
  } catch {
    return false // that is the answer: the SDK throws for what is no event
  }
}

function weAccept(event: object): boolean {
  try {
    checkAttributes({ ...event } as Record<string, unknown>)
    return true
  } catch (thrown) {
    expect(FnError.is(thrown)).toBe(true)
    return false
  }
}

describe("R-EV-1: validation agrees with the SDK", () => {
  const same: [string, object][] = [
    ["the smallest event", valid],
    ["specversion 0.3", { ...valid, specversion: "0.3" }],
    ["an unknown specversion", { ...valid, specversion: "2.0" }],
    [
      "all attributes",
      { ...valid, subject: "s", time: "2026-11-20T10:00:00Z", datacontenttype: "text/plain", dataschema: "https://e.x/y" },
    ],
    ["time with an offset", { ...valid, time: "2026-11-20T10:00:00.123456-07:00" }],
    ["time in lower case", { ...valid, time: "2026-11-20t10:00:00z" }],
    ["a leap second", { ...valid, time: "2016-12-31T23:59:60Z" }],
    ["29 February of a leap year", { ...valid, time: "2024-02-29T00:00:00Z" }],
    ["29 February of another year", { ...valid, time: "2026-02-29T00:00:00Z" }],
    ["29 February of a century", { ...valid, time: "1900-02-29T00:00:00Z" }],
    ["30 February", { ...valid, time: "2026-02-30T00:00:00Z" }],
    ["31 April", { ...valid, time: "2026-04-31T00:00:00Z" }],
    ["31 May", { ...valid, time: "2026-05-31T00:00:00Z" }],
    ["day 0", { ...valid, time: "2026-05-00T00:00:00Z" }],
    ["29 February of a fourth century", { ...valid, time: "2000-02-29T00:00:00Z" }],
    ["month 13", { ...valid, time: "2026-13-01T00:00:00Z" }],
    ["hour 24", { ...valid, time: "2026-01-01T24:00:00Z" }],
    ["a time in words", { ...valid, time: "yesterday" }],
    ["empty source", { ...valid, source: "" }],
    ["empty type", { ...valid, type: "" }],
    ["empty subject", { ...valid, subject: "" }],
    ["empty datacontenttype", { ...valid, datacontenttype: "" }],
    ["empty dataschema", { ...valid, dataschema: "" }],
    ["id that is a number", { ...valid, id: 5 }],
    ["source that is a number", { ...valid, source: 5 }],
    ["type that is a number", { ...valid, type: 5 }],
    ["subject that is a number", { ...valid, subject: 5 }],
    ["an upper-case extension name", { ...valid, Upper: "x" }],
    ["an underscore in an extension name", { ...valid, under_score: "x" }],
    ["a long extension name", { ...valid, abcdefghijklmnopqrstuvwxyz: "x" }],
    ["an extension that is a fraction", { ...valid, ext: 1.5 }],
    ["an extension that is a boolean", { ...valid, ext: true }],
    ["an extension that is an empty text", { ...valid, ext: "" }],
  ]

  test.each(same)("%s", (_title, event) => {
    expect(weAccept(event)).toBe(sdkAccepts(event))
  })

  /** event, what the SDK says, what we say, and why */
  const DIFFERENCES: [string, object, boolean, boolean][] = [
    ["empty id: it MUST be a non-empty string; the SDK's constructor fills it in", { ...valid, id: "" }, true, false],
    ["empty time: it MUST adhere to RFC 3339; the SDK takes it for absent", { ...valid, time: "" }, true, false],
    ["an offset of 25 hours is not RFC 3339", { ...valid, time: "2026-01-01T00:00:00+25:00" }, true, false],
    ["an integer past 32 bits", { ...valid, ext: 2 ** 40 }, true, false],
    ["an extension that is an object: the type system has none", { ...valid, ext: {} }, true, false],
    ["an extension that is an array", { ...valid, ext: [] }, true, false],
    // A foreign producer's source must not stop its events at our door: nothing of ours depends on it being a URI.
    ["a source with a blank is no URI-reference", { ...valid, source: "a b" }, false, true],
    ["a dataschema that is no absolute URI", { ...valid, dataschema: "/rel" }, false, true],
  ]

  test.each(DIFFERENCES)("on purpose not: %s", (_why, event, sdk, ours) => {
    expect(sdkAccepts(event)).toBe(sdk)
    expect(weAccept(event)).toBe(ours)
  })

  test("random extensions", () => {
    const value = fc.oneof(
      text,
      fc.boolean(),
      fc.integer({ min: -2147483648, max: 2147483647 }),
      fc.double({ noNaN: true, noInteger: true }),
    )
    fc.assert(
      fc.property(fc.string({ minLength: 1, maxLength: 8 }), value, (name, extension) => {
        fc.pre(
          !(name in valid) && !["time", "subject", "data", "dataschema", "datacontenttype"].includes(name) && !(name in Object.prototype),
        )
        const event = { ...valid, [name]: extension }
        expect(weAccept(event)).toBe(sdkAccepts(event))
      }),
    )
  })
})
