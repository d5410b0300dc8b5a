import fc from "fast-check"
import type { AttributeValue, EventAttributes, WireEvent } from "../src/event/event.js"

const NAME_CHARS = [..."abcdefghijklmnopqrstuvwxyz0123456789"]
const RESERVED = new Set(["id", "source", "type", "specversion", "datacontenttype", "dataschema", "subject", "time", "data"])

/** Any well-formed Unicode text; unpaired surrogates are no characters, and CloudEvents has no place for them. */
export const text: fc.Arbitrary<string> = fc.string({ unit: "binary", maxLength: 20 })
export const nonEmptyText: fc.Arbitrary<string> = fc.string({ unit: "binary", minLength: 1, maxLength: 20 })

/** Times in every form RFC 3339 has that the codecs must bring back letter by letter. */
export const time: fc.Arbitrary<string> = fc
  .tuple(
    fc.date({ min: new Date("0001-01-01T00:00:00Z"), max: new Date("9999-12-31T23:59:59Z"), noInvalidDate: true }),
    fc.constantFrom("", ".5", ".120", ".000", ".123456", ".123456789", ".1234567890123"),
    fc.constantFrom("Z", "z", "+00:00", "-07:30", "+14:00"),
  )
  .map(([date, fraction, zone]) => `${date.toISOString().slice(0, 19)}${fraction}${zone}`)

const extensionName = fc
  .string({ unit: fc.constantFrom(...NAME_CHARS), minLength: 1, maxLength: 20 })
  .filter((name) => !RESERVED.has(name) && name !== "database64")

const attributeValue: fc.Arbitrary<AttributeValue> = fc.oneof(text, fc.boolean(), fc.integer({ min: -2147483648, max: 2147483647 }))

/** Attributes of a valid event; extensions with the values given. */
export function attributesWith(value: fc.Arbitrary<AttributeValue>): fc.Arbitrary<EventAttributes> {
  const known = fc.record(
    {
      id: nonEmptyText,
      source: nonEmptyText,
      type: nonEmptyText,
      specversion: fc.constant("1.0"),
      dataschema: nonEmptyText,
      subject: nonEmptyText,
      time,
    },
    { requiredKeys: ["id", "source", "type", "specversion"] },
  )
  return fc.tuple(known, fc.dictionary(extensionName, value, { maxKeys: 4, noNullPrototype: true })).map(([own, extensions]) => {
    const attributes: EventAttributes = { ...extensions, ...own }
    return attributes
  })
}

/** A valid event with any extension values and data of any content type; without data also without a content type. */
export const wireEvent: fc.Arbitrary<WireEvent> = fc.tuple(attributesWith(attributeValue), payload()).map(withData)
/** The same with string extensions only: what a binding without types (headers) brings back. */
export const textEvent: fc.Arbitrary<WireEvent> = fc.tuple(attributesWith(text), payload()).map(withData)

/** Bytes cut into chunks at random places. */
export function cut(bytes: Buffer, places: readonly number[]): Buffer[] {
  const ends = [...new Set(places.map((place) => place % (bytes.length + 1)))].sort((a, b) => a - b)
  const starts = [0, ...ends]
  return starts.map((start, index) => bytes.subarray(start, starts[index + 1] ?? bytes.length))
}

type Payload = { readonly contentType: string | undefined; readonly data: Uint8Array | undefined }

function payload(): fc.Arbitrary<Payload> {
  const bytes = fc.uint8Array({ maxLength: 64 })
  const json = fc.json({ maxDepth: 3 }).map((value) => Buffer.from(JSON.stringify(JSON.parse(value)), "utf8"))
  return fc.oneof(
    fc.constant({ contentType: undefined, data: undefined }),
    fc.record({ contentType: fc.constantFrom("application/json", "application/vnd.x+json; charset=utf-8", undefined), data: json }),
    fc.record({
      contentType: fc.constantFrom("text/plain", "text/csv;header=present"),
      data: text.map((value) => Buffer.from(value, "utf8")),
    }),
    fc.record({ contentType: fc.constantFrom("application/octet-stream", "image/png", "application/json", "text/plain"), data: bytes }),
  )
}

function withData([attributes, { contentType, data }]: [EventAttributes, Payload]): WireEvent {
  return { attributes: contentType === undefined ? attributes : { ...attributes, datacontenttype: contentType }, data }
}
