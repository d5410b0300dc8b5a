/**
 * The client of every HTTP row: one kept-alive connection per call in flight, requests made beforehand, answers read by hand. node:http's own
 * client would cost more than the servers that are to be compared.
 */
import { createConnection } from "node:net"
import { checkBytes, createPayloads } from "./payload.mjs"

const HEAD_END = Buffer.from("\r\n\r\n")

/** Events in binary mode to `path`; the answer's body must be the event's data. */
export async function connect({ port, path, sizeBytes }) {
  const payloads = createPayloads(sizeBytes)
  const requests = createRequests(port, path)
  const idle = []
  let idleClosed = () => {}
  return {
    /** Calls back when a connection is closed that nobody uses. */
    onIdleClosed(callback) {
      idleClosed = callback
    },
    async call(n) {
      const payload = payloads.at(n)
      const connection = liveOf(idle) ?? (await openConnection(port, () => idleClosed()))
      const { status, body } = await connection.send(requests.of(payload))
      idle.push(connection)
      if (status !== 200) throw new Error(`${path} answered ${status}: ${body.toString().slice(0, 200)}`)
      checkBytes(body, payload, path)
    },
  }
}

/** The request of each payload, made once. */
function createRequests(port, path) {
  const made = new Map()
  return {
    of(payload) {
      const request = made.get(payload) ?? requestOf(port, path, payload)
      made.set(payload, request)
      return request
    },
  }
}

function requestOf(port, path, payload) {
  const lines = [
    `POST ${path} HTTP/1.1`,
    `host: 127.0.0.1:${port}`,
    "ce-specversion: 1.0",
    `ce-id: bench-${payload.data.n}`,
    "ce-source: /bench",
    "ce-type: com.example.asked",
    "content-type: application/json",
    `content-length: ${payload.bytes.length}`,
  ]
  return Buffer.concat([Buffer.from(lines.join("\r\n")), HEAD_END, payload.bytes])
}

/** An idle connection that the server has not closed meanwhile. */
function liveOf(idle) {
  for (let connection = idle.pop(); connection; connection = idle.pop()) if (connection.isOpen()) return connection
  return undefined
}

/** Resolves with a connection that takes one request at a time. */
function openConnection(port, onIdleClosed) {
  return new Promise((resolve, reject) => {
    const socket = createConnection({ host: "127.0.0.1", port, noDelay: true })
    let received = Buffer.alloc(0)
    let waiting
    const fail = (error) => {
      reject(error)
      if (waiting) waiting.reject(error)
      else onIdleClosed()
    }
    socket.on("error", fail)
    socket.once("close", () => fail(new Error("the server closed the connection")))
    socket.on("data", (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      const answer = parseAnswer(received)
      if (!answer) return
      received = received.subarray(answer.lengthBytes)
      waiting.resolve(answer)
      waiting = undefined
    })
    socket.once("connect", () =>
      resolve({
        isOpen: () => !socket.closed && !socket.readableEnded && socket.writable,
        send: (request) =>
          new Promise((resolveAnswer, rejectAnswer) => {
            waiting = { resolve: resolveAnswer, reject: rejectAnswer }
            socket.write(request)
          }),
      }),
    )
  })
}

/** The answer at the beginning of `bytes`; undefined while it is not whole. Every server here says how long it is. */
function parseAnswer(bytes) {
  const headEnd = bytes.indexOf(HEAD_END)
  if (headEnd < 0) return undefined
  const head = bytes.latin1Slice(0, headEnd)
  const length = /\r\ncontent-length: *(\d+)/i.exec(head)
  if (!length && !head.includes(" 204 ")) throw new Error(`an answer without a length:\n${head}`)
  const bodyAt = headEnd + HEAD_END.length
  const lengthBytes = bodyAt + Number(length?.[1] ?? 0)
  if (bytes.length < lengthBytes) return undefined
  return { status: Number(head.slice(9, 12)), body: bytes.subarray(bodyAt, lengthBytes), lengthBytes }
}
