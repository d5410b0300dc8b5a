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
server.listen(0, "127.0.0.1", () => programReady({ port: server.address().port }))
