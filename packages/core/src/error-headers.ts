import { CODES, type Code, FnError, isCode } from "./errors.js"
import { Header, headerLine, headerText } from "./headers.js"

/** Header lines of an error reply: ADR-32's two, and ours, because several codes share an HTTP number. */
export function errorHeaderLines(error: FnError): string {
  let lines =
    headerLine(Header.serviceErrorCode, CODES[error.code].http) +
    headerLine(Header.serviceError, headerText(error.message) || error.code) +
    headerLine(Header.errorCode, error.code) +
    headerLine(Header.errorReason, headerText(error.reason, 64)) +
    headerLine(Header.retryable, String(error.retryable))
  if (error.errorId) lines += headerLine(Header.errorId, headerText(error.errorId, 64))
  return lines
}

/** Body of an error reply: the whole error as JSON, since headers flatten the message. */
export function errorBody(error: FnError): Uint8Array {
  return Buffer.from(JSON.stringify(error.toData()))
}

const CODE_OF_HTTP: ReadonlyMap<number, Code> = new Map<number, Code>([
  [400, "invalid_argument"],
  [401, "unauthenticated"],
  [403, "permission_denied"],
  [404, "not_found"],
  [409, "already_exists"],
  [429, "resource_exhausted"],
  [499, "cancelled"],
  [500, "unknown"],
  [501, "unimplemented"],
  [503, "unavailable"],
  [504, "deadline_exceeded"],
])

/** The error of an error reply, from our headers and body or, of a foreign service, from ADR-32's headers alone. */
export function errorFromReply(header: (name: string) => string | undefined, body: Uint8Array): FnError {
  const code = header(Header.errorCode)
  if (isCode(code)) {
    const sent = parseBody(body)
    if (sent) return FnError.fromData(sent)
    const reason = header(Header.errorReason)
    const retryable = header(Header.retryable)
    return new FnError(code, header(Header.serviceError) ?? code, {
      ...(reason ? { reason } : {}),
      ...(retryable ? { retryable: retryable === "true" } : {}),
    })
  }
  return new FnError(
    CODE_OF_HTTP.get(Number(header(Header.serviceErrorCode))) ?? "unknown",
    header(Header.serviceError) ?? "the service answered with an error",
  )
}

function parseBody(body: Uint8Array): ReturnType<FnError["toData"]> | undefined {
  if (body.length === 0) return undefined
  try {
    const parsed: unknown = JSON.parse(Buffer.from(body.buffer, body.byteOffset, body.byteLength).toString("utf8"))
    const isError = typeof parsed === "object" && parsed !== null && "code" in parsed && "message" in parsed && "reason" in parsed
    return isError ? (parsed as ReturnType<FnError["toData"]>) : undefined
  } catch {
    return undefined // the headers say enough
  }
}
