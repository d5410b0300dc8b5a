import type { timestamp } from "@fn/proto"
// Not from the package's root: that loads gRPC, which costs a process 80 ms at its start.
import * as cloudevents from "@fn/proto/cloudevents"
import { FnError, messageOf } from "../errors.js"
import { type AttributeValue, checkAttributes, invalidEvent, type WireEvent } from "./event.js"

/**
 * Protobuf event format of CloudEvents 1.0: `io.cloudevents.v1.CloudEvent`.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/protobuf-format.md
 */

type ProtoEvent = cloudevents.CloudEvent
type ProtoValue = cloudevents.CloudEvent_CloudEventAttributeValue

const REQUIRED: ReadonlySet<string> = new Set(["id", "source", "type", "specversion"])
// Seconds of 0001-01-01T00:00:00Z and of 9999-12-31T23:59:59Z, between which a Timestamp is valid.
const MIN_SECONDS = -62135596800n
const MAX_SECONDS = 253402300799n
const TIME_UTC = /^(\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2})(?:\.(\d{1,9}))?Z$/

/** Content type of one protobuf event. */
export const PROTOBUF_TYPE = "application/cloudevents+protobuf"

/** The protobuf message of an event. Data stays bytes (`binary_data`), which every reader must take for any content type. */
export function eventToProto(wire: WireEvent): ProtoEvent {
  const attributes: Record<string, ProtoValue> = {}
  for (const name in wire.attributes) {
    const value = wire.attributes[name]
    if (value !== undefined && !REQUIRED.has(name)) attributes[name] = { attr: attributeToProto(name, value) }
  }
  const { id, source, type, specversion } = wire.attributes
  const data = wire.data === undefined ? undefined : { $case: "binaryData" as const, value: bufferOf(wire.data) }
  return { id, source, type, specVersion: specversion, attributes, data }
}

/** The event of a protobuf message. @throws {FnError} invalid_argument INVALID_EVENT */
export function eventFromProto(proto: ProtoEvent): WireEvent {
  const attributes: Record<string, unknown> = { id: proto.id, source: proto.source, type: proto.type, specversion: proto.specVersion }
  for (const name in proto.attributes) {
    const value = proto.attributes[name]?.attr
    if (value !== undefined && !REQUIRED.has(name)) attributes[name] = attributeFromProto(name, value)
  }
  return { attributes: checkAttributes(attributes), data: dataFromProto(proto.data) }
}

/** Bytes of one event in the protobuf format. */
export function encodeProtobuf(wire: WireEvent): Uint8Array {
  return cloudevents.CloudEvent.encode(eventToProto(wire)).finish()
}

/** The event in bytes of the protobuf format. @throws {FnError} invalid_argument INVALID_EVENT */
export function decodeProtobuf(bytes: Uint8Array): WireEvent {
  let proto: ProtoEvent
  try {
    proto = cloudevents.CloudEvent.decode(bytes)
  } catch (thrown) {
    throw FnError.of("INVALID_EVENT", `invalid event: the payload is no protobuf event: ${messageOf(thrown)}`)
  }
  return eventFromProto(proto)
}

function attributeToProto(name: string, value: AttributeValue): NonNullable<ProtoValue["attr"]> {
  if (typeof value === "boolean") return { $case: "ceBoolean", value }
  if (typeof value === "number") return { $case: "ceInteger", value }
  if (name === "dataschema") return { $case: "ceUri", value }
  const time = name === "time" ? timestampOf(value) : undefined
  return time ? { $case: "ceTimestamp", value: time } : { $case: "ceString", value }
}

function attributeFromProto(name: string, attr: NonNullable<ProtoValue["attr"]>): AttributeValue {
  switch (attr.$case) {
    case "ceBytes":
      return bufferOf(attr.value).toString("base64")
    case "ceTimestamp":
      if (!isTimestamp(attr.value)) throw invalidEvent(name, "its timestamp is outside the range of RFC 3339")
      return formatTimestamp(attr.value)
    default:
      return attr.value
  }
}

function dataFromProto(data: ProtoEvent["data"]): Uint8Array | undefined {
  if (data === undefined) return undefined
  switch (data.$case) {
    case "binaryData":
      return data.value
    case "textData":
      return Buffer.from(data.value, "utf8")
    case "protoData":
      throw invalidEvent("data", `proto_data (${data.value.typeUrl}) is not supported; send binary_data`)
  }
}

/** Only a time that comes back letter by letter becomes a timestamp; others (offsets, lower case) stay text, so nothing is lost. */
function timestampOf(text: string): timestamp.Timestamp | undefined {
  const match = TIME_UTC.exec(text)
  if (!match) return undefined
  const seconds = Date.parse(`${match[1]}Z`) / 1000
  if (Number.isNaN(seconds)) return undefined
  const stamp = { seconds: BigInt(seconds), nanos: Number((match[2] ?? "").padEnd(9, "0")) }
  return formatTimestamp(stamp) === text ? stamp : undefined
}

function formatTimestamp(stamp: timestamp.Timestamp): string {
  const seconds = new Date(Number(stamp.seconds) * 1000).toISOString().slice(0, -5)
  if (stamp.nanos === 0) return `${seconds}Z`
  const nanos = String(stamp.nanos).padStart(9, "0")
  if (nanos.endsWith("000000")) return `${seconds}.${nanos.slice(0, 3)}Z`
  return `${seconds}.${nanos.endsWith("000") ? nanos.slice(0, 6) : nanos}Z`
}

function isTimestamp({ seconds, nanos }: timestamp.Timestamp): boolean {
  return seconds >= MIN_SECONDS && seconds <= MAX_SECONDS && nanos >= 0 && nanos <= 999_999_999
}

function bufferOf(bytes: Uint8Array): Buffer {
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
