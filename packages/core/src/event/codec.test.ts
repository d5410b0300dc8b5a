import { describe, expect, test } from "@jest/globals"
import fc from "fast-check"
import { cut, text, textEvent, wireEvent } from "../../test/arbitraries.js"
import { FnError } from "../errors.js"
import { FrameKind, FrameReader, frameHeader } from "../frame.js"
import { headerBlock, headerLine, readHeaderBlock } from "../headers.js"
import { decodeCall, decodeCredit, decodeResult, encodeCall, encodeCredit, encodeResult } from "../module-protocol.js"
import { BinaryEventReader, binaryHeaderLines, decodeHeaderValue, encodeHeaderValue } from "./binary.js"
import { decodeData, eventFromWire } from "./data.js"
import type { WireEvent } from "./event.js"
import { decodeBatch, decodeStructured, encodeBatch, encodeStructured } from "./json.js"
import { decodeProtobuf, encodeProtobuf, eventFromProto } from "./protobuf.js"

/** Events in a form that `toEqual` compares by content: Buffers and Uint8Arrays alike. */
function plain(wire: WireEvent): unknown {
  return { attributes: { ...wire.attributes }, data: wire.data === undefined ? undefined : [...wire.data] }
}

function bytesOf(value: string): Uint8Array {
  return new TextEncoder().encode(value)
}

/** Whether `decode` either succeeds or fails with an FnError. */
function failsOnlyWithFnError(decode: () => unknown): boolean {
  try {
    decode()
    return true
  } catch (thrown) {
    return FnError.is(thrown)
  }
}

function viaHeaders(wire: WireEvent): WireEvent {
  const reader = new BinaryEventReader()
  readHeaderBlock(headerBlock(binaryHeaderLines(wire.attributes)), (name, value) => reader.take(name, value))
  return reader.finish(wire.data ?? new Uint8Array(0))
}

describe("R-EV-1: decoding what was encoded gives the same event", () => {
  test("structured JSON", () => {
    fc.assert(fc.property(wireEvent, (wire) => expect(plain(decodeStructured(bytesOf(encodeStructured(wire))))).toEqual(plain(wire))))
  })

  test("a JSON batch", () => {
    fc.assert(
      fc.property(fc.array(wireEvent, { maxLength: 4 }), (wires) =>
        expect(decodeBatch(bytesOf(encodeBatch(wires))).map(plain)).toEqual(wires.map(plain)),
      ),
    )
  })

  test("binary mode of the NATS binding, but that empty data and absent data are one, and values become text", () => {
    fc.assert(
      fc.property(textEvent, (wire) => {
        const expected = wire.data?.length === 0 ? { ...wire, data: undefined } : wire
        expect(plain(viaHeaders(wire))).toEqual(plain(expected))
      }),
    )
  })

  test("protobuf", () => {
    fc.assert(fc.property(wireEvent, (wire) => expect(plain(decodeProtobuf(encodeProtobuf(wire)))).toEqual(plain(wire))))
  })

  test("a call and a result in module frames, cut at random places", () => {
    const places = fc.array(fc.nat(), { maxLength: 12 })
    const head = { invocationId: "i", attempt: 1, timeoutMs: 30 }
    fc.assert(
      fc.property(fc.array(wireEvent, { minLength: 1, maxLength: 3 }), fc.nat(0xffffffff), places, (wires, callId, where) => {
        const [first] = wires as [WireEvent]
        const call = encodeCall({ ...head, attributes: first.attributes }, first.data)
        const callBody = Buffer.concat([call.prefix, call.data ?? new Uint8Array(0)])
        const resultBody = Buffer.concat(encodeResult(wires))
        const stream = Buffer.concat([
          frameHeader(FrameKind.call, callId, callBody.length),
          callBody,
          frameHeader(FrameKind.result, callId, resultBody.length),
          resultBody,
          frameHeader(FrameKind.shutdown, 0, 0),
        ])
        const frames: { kind: number; callId: number; body: Buffer }[] = []
        const reader = new FrameReader((kind, id, body) => frames.push({ kind, callId: id, body: Buffer.from(body) }))
        for (const chunk of cut(stream, where)) reader.push(chunk)

        expect(frames.map((frame) => [frame.kind, frame.callId])).toEqual([
          [FrameKind.call, callId],
          [FrameKind.result, callId],
          [FrameKind.shutdown, 0],
        ])
        const decoded = decodeCall(frames[0]?.body as Buffer)
        expect(decoded.head).toMatchObject(head)
        expect(plain({ attributes: decoded.head.attributes, data: decoded.data })).toEqual(plain(first))
        expect(decodeResult(frames[1]?.body as Buffer).map(plain)).toEqual(wires.map(plain))
      }),
    )
  })

  test("header values: any text is printable ASCII on the way and itself afterwards", () => {
    fc.assert(
      fc.property(text, (value) => {
        const encoded = encodeHeaderValue(value)
        expect(encoded).toMatch(/^[\x21-\x7e]*$/)
        expect(encoded).not.toContain('"')
        expect(decodeHeaderValue(encoded, "x")).toBe(value)
      }),
    )
  })

  test("header blocks", () => {
    const name = fc.stringMatching(/^[A-Za-z][A-Za-z0-9-]{0,20}$/)
    const value = fc.stringMatching(/^[\x21-\x7e]{1,10}( [\x21-\x7e]{1,10})?$/)
    fc.assert(
      fc.property(fc.array(fc.tuple(name, value)), (lines) => {
        const seen: [string, string][] = []
        readHeaderBlock(headerBlock(lines.map(([n, v]) => headerLine(n, v)).join("")), (n, v) => seen.push([n, v]))
        expect(seen).toEqual(lines)
      }),
    )
  })
})

describe("no bytes crash a decoder", () => {
  const decoders: Record<string, (bytes: Uint8Array) => unknown> = {
    structured: (bytes) => decodeStructured(bytes),
    batch: (bytes) => decodeBatch(bytes),
    protobuf: (bytes) => decodeProtobuf(bytes),
    "call frame": (bytes) => decodeCall(Buffer.from(bytes)),
    "result frame": (bytes) => decodeResult(Buffer.from(bytes)),
    "credit frame": (bytes) => decodeCredit(Buffer.from(bytes)),
    "frame stream": (bytes) => new FrameReader(() => undefined).push(Buffer.from(bytes)),
    data: (bytes) => decodeData(bytes, "application/json"),
    "binary headers": (bytes) => {
      const reader = new BinaryEventReader()
      readHeaderBlock(bytes, (name, value) => reader.take(name, value))
      reader.finish(bytes)
    },
  }
  const samples: Record<string, (wire: WireEvent) => Uint8Array> = {
    structured: (wire) => bytesOf(encodeStructured(wire)),
    batch: (wire) => bytesOf(encodeBatch([wire])),
    protobuf: (wire) => encodeProtobuf(wire),
    "call frame": (wire) => encodeCall({ invocationId: "i", attempt: 1, attributes: wire.attributes }, wire.data).prefix,
    "result frame": (wire) => Buffer.concat(encodeResult([wire])),
    "credit frame": (wire) => encodeCredit(wire.data?.length ?? 0),
    "frame stream": (wire) => frameHeader(FrameKind.result, 1, wire.data?.length ?? 0),
    data: (wire) => wire.data ?? new Uint8Array(0),
    "binary headers": (wire) => headerBlock(binaryHeaderLines(wire.attributes)),
  }

  test.each(Object.keys(decoders))("%s: random bytes", (name) => {
    const decode = decoders[name] as (bytes: Uint8Array) => unknown
    fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => failsOnlyWithFnError(() => decode(bytes))))
  })

  test.each(Object.keys(decoders))("%s: a valid message with bytes changed, or cut short", (name) => {
    const decode = decoders[name] as (bytes: Uint8Array) => unknown
    const sample = samples[name] as (wire: WireEvent) => Uint8Array
    const changes = fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 3 })
    fc.assert(
      fc.property(wireEvent, changes, fc.option(fc.nat(), { nil: undefined }), (wire, edits, cutAt) => {
        const bytes = Uint8Array.from(sample(wire))
        for (const [at, byte] of edits) if (bytes.length > 0) bytes[at % bytes.length] = byte
        return failsOnlyWithFnError(() => decode(cutAt === undefined ? bytes : bytes.subarray(0, cutAt % (bytes.length + 1))))
      }),
    )
  })

  test("structured: any JSON at all", () => {
    fc.assert(fc.property(fc.json(), (json) => failsOnlyWithFnError(() => decodeStructured(bytesOf(json)))))
  })

  test("structured: data nested deeper than the stack is an invalid event, not a RangeError", () => {
    const depth = 200_000
    const nested = `{"id":"1","source":"/s","type":"t","specversion":"1.0","data":${"[".repeat(depth)}${"]".repeat(depth)}}`
    expect(() => decodeStructured(bytesOf(nested))).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })

  test("a module process cannot smuggle a header line through an attribute name", () => {
    const forged = {
      attributes: { id: "1", source: "/s", type: "t", specversion: "1.0", "x: 1\r\nFn-Error-Code": "internal" },
      data: undefined,
    }
    expect(() => decodeResult(Buffer.concat(encodeResult([forged])))).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })
})

describe("the CloudEvents NATS binding", () => {
  const base = { id: "1", source: "/s", type: "t", specversion: "1.0" }
  const lines = "ce-id: 1\r\nce-source: /s\r\nce-type: t\r\nce-specversion: 1.0\r\n"

  function read(block: string, payload: Uint8Array = bytesOf("{}")): WireEvent {
    const reader = new BinaryEventReader()
    readHeaderBlock(bytesOf(`NATS/1.0\r\n${block}\r\n`), (name, value) => reader.take(name, value))
    return reader.finish(payload)
  }

  test("datacontenttype is ce-datacontenttype, like every attribute", () => {
    expect(binaryHeaderLines({ ...base, datacontenttype: "text/plain" })).toContain("ce-datacontenttype: text/plain\r\n")
    expect(read(`${lines}ce-datacontenttype: text/plain\r\n`).attributes.datacontenttype).toBe("text/plain")
  })

  test("content-type stands in for it, in any case", () => {
    expect(read(`${lines}Content-Type: text/plain\r\n`).attributes.datacontenttype).toBe("text/plain")
    expect(read(`${lines}content-type: text/plain\r\nce-datacontenttype: text/csv\r\n`).attributes.datacontenttype).toBe("text/csv")
  })

  test("ce-content-type is an attribute with a bad name, not the content type", () => {
    expect(() => read(`${lines}ce-content-type: text/plain\r\n`)).toThrow(
      expect.objectContaining({ details: { attribute: "content-type" } }),
    )
  })

  test("the binding's own example of percent-encoding", () => {
    expect(encodeHeaderValue("Euro € 😀")).toBe("Euro%20%E2%82%AC%20%F0%9F%98%80")
    expect(decodeHeaderValue("Euro%20%e2%82%ac%20%F0%9F%98%80", "x")).toBe("Euro € 😀")
  })

  test("an overlong encoding is refused", () => {
    expect(() => decodeHeaderValue("%C0%A0", "subject")).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })

  test("quoted values of the older rule are unquoted first", () => {
    expect(decodeHeaderValue('"a \\"b\\" c%20d"', "x")).toBe('a "b" c d')
  })

  test("header names in any case, values without the blanks around them", () => {
    expect(read("CE-ID:   1 \r\nCe-Source:/s\r\nce-TYPE: t\r\nce-specversion: 1.0\r\n").attributes).toEqual(base)
  })

  test.each(["id", "source", "type", "specversion"])("ce-%s is required", (name) => {
    const without = lines.replace(new RegExp(`ce-${name}: .*\r\n`), "")
    expect(() => read(without)).toThrow(expect.objectContaining({ reason: "INVALID_EVENT", details: { attribute: name } }))
  })
})

describe("structured JSON", () => {
  const head = { id: "1", source: "/s", type: "t", specversion: "1.0", datacontenttype: "application/json" }

  test("numbers that no double holds pass through unchanged", () => {
    const wire = { attributes: head, data: bytesOf('{"n":12345678901234567890}') }
    expect(encodeStructured(wire)).toContain('"data":{"n":12345678901234567890}')
  })

  test("JSON data that is no UTF-8 travels as base64 and comes back byte by byte", () => {
    const data = Buffer.from([0x22, 0xff, 0x22])
    const json = encodeStructured({ attributes: head, data })
    expect(json).toContain("data_base64")
    expect(Buffer.from(decodeStructured(bytesOf(json)).data as Uint8Array)).toEqual(data)
  })

  test("data and data_base64 together are refused", () => {
    expect(() => decodeStructured(bytesOf(JSON.stringify({ ...head, data: 1, data_base64: "eA==" })))).toThrow(/not both/)
  })

  test("a null attribute is an absent one", () => {
    expect(decodeStructured(bytesOf(JSON.stringify({ ...head, subject: null }))).attributes).toEqual(head)
  })

  test("a missing specversion is 1.0 only where the envelope asks for it", () => {
    const { specversion: _, ...rest } = head
    const payload = bytesOf(JSON.stringify(rest))
    expect(() => decodeStructured(payload)).toThrow(expect.objectContaining({ details: { attribute: "specversion" } }))
    expect(decodeStructured(payload, { assumeSpecversion: true }).attributes.specversion).toBe("1.0")
  })
})

describe("protobuf", () => {
  test.each([
    { seconds: 253402300800n, nanos: 0 },
    { seconds: -62135596801n, nanos: 0 },
    { seconds: 0n, nanos: 1_000_000_000 },
    { seconds: 0n, nanos: -1 },
  ])("a timestamp outside RFC 3339 is an invalid event: $seconds s $nanos ns", (value) => {
    const attributes = { time: { attr: { $case: "ceTimestamp" as const, value } } }
    const proto = { id: "1", source: "/s", type: "t", specVersion: "1.0", attributes, data: undefined }
    expect(() => eventFromProto(proto)).toThrow(expect.objectContaining({ reason: "INVALID_EVENT", details: { attribute: "time" } }))
  })

  test("text_data and binary_data are the same bytes", () => {
    const head = { id: "1", source: "/s", type: "t", specVersion: "1.0", attributes: {} }
    expect(eventFromProto({ ...head, data: { $case: "textData", value: "é" } }).data).toEqual(Buffer.from("é"))
  })
})

describe("eventFromWire", () => {
  test("data that is not what datacontenttype says is an invalid event", () => {
    const attributes = { id: "1", source: "/s", type: "t", specversion: "1.0", datacontenttype: "application/json" }
    expect(() => eventFromWire({ attributes, data: bytesOf("{") })).toThrow(expect.objectContaining({ reason: "INVALID_EVENT" }))
  })
})
