/** How a message says that its body is stored apart. It is read as if it had that body. docs/protocol.md#large-events */
import { FnError, Header, headerLine, headerText } from "@fn/core"

/** Where a body is. */
export interface PayloadRef {
  readonly bucket: string
  readonly name: string
}

const SCHEME = "obj:"
const NAME = /^[A-Za-z0-9_.=-]{1,200}$/

/** Name of the object of an invocation's event or result. `part` tells apart several that are uploaded for the same id. */
export function payloadName(invocationId: string, direction: "in" | "out", part?: string): string {
  return part === undefined ? `${invocationId}.${direction}` : `${invocationId}.${part}.${direction}`
}

/** Header lines of a message whose body of `sizeBytes` is apart. */
export function payloadLines(ref: PayloadRef, sizeBytes: number, contentType?: string): string {
  const lines = headerLine(Header.payloadRef, `${SCHEME}${ref.bucket}/${ref.name}`) + headerLine(Header.payloadSize, sizeBytes)
  return contentType === undefined ? lines : lines + headerLine(Header.payloadType, headerText(contentType, 256))
}

/** Reads an `Fn-Payload-Ref`. @throws {FnError} invalid_argument INVALID_REQUEST */
export function parsePayloadRef(text: string): PayloadRef {
  const slash = text.indexOf("/")
  const bucket = text.slice(SCHEME.length, slash)
  const name = text.slice(slash + 1)
  if (!text.startsWith(SCHEME) || slash < 0 || !NAME.test(bucket) || !NAME.test(name))
    throw FnError.of("INVALID_REQUEST", `${Header.payloadRef} must be obj:{bucket}/{object}, not ${JSON.stringify(text.slice(0, 100))}`)
  return { bucket, name }
}
