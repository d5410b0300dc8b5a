import { once } from "node:events"
import { createServer } from "node:http"
import { expect, test } from "@jest/globals"
import { connect } from "../measure/http-client.mjs"

/** A server whose `answer` may be changed; gone with the test. */
async function withServer(work) {
  const state = { answer: (_request, body, response) => response.end(body), connections: 0 }
  const server = createServer(async (request, response) => {
    const chunks = await request.toArray()
    state.answer(request, Buffer.concat(chunks), response)
  })
  server.on("connection", () => state.connections++)
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  try {
    const client = await connect({ port: server.address().port, path: "/echo", sizeBytes: 256 })
    await work({ client, state, server })
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

test("calls that follow each other share a connection, and one that the server has closed is not used again", async () => {
  await withServer(async ({ client, state, server }) => {
    state.answer = (_request, body, response) => response.setHeader("content-length", body.length).end(body)
    await client.call(0)
    await client.call(1)
    expect(state.connections).toBe(1)
    const closed = new Promise((resolve) => client.onIdleClosed(resolve))
    server.closeAllConnections()
    await closed
    await client.call(2)
    expect(state.connections).toBe(2)
  })
})

test("another status and another body are failures, and so is a connection that ends before its answer", async () => {
  await withServer(async ({ client, state }) => {
    state.answer = (_request, _body, response) => response.writeHead(503, { "content-length": 4 }).end("busy")
    await expect(client.call(0)).rejects.toThrow("/echo answered 503: busy")
    state.answer = (_request, body, response) => response.setHeader("content-length", body.length - 1).end(body.subarray(1))
    await expect(client.call(0)).rejects.toThrow("/echo answered something else")
    state.answer = (request) => request.socket.destroy()
    await expect(client.call(0)).rejects.toThrow("the server closed the connection")
  })
})
