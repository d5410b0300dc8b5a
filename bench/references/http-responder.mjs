/** Bare node:http: reads the body, sends it back. */
import { createServer } from "node:http"
import { programReady } from "../measure/program.mjs"

const server = createServer((request, response) => {
  const chunks = []
  request.on("data", (chunk) => chunks.push(chunk))
  request.on("end", () => {
    const body = Buffer.concat(chunks)
    response.writeHead(200, { "content-type": "application/json", "content-length": body.length })
    response.end(body)
  })
})
// As long as our gateway does: connections outlast the other rows of a round.
server.keepAliveTimeout = 72_000
server.listen(0, "127.0.0.1", () => programReady({ port: server.address().port }))
