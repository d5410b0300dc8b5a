/** Results posted to a receiver that its developer runs on the same machine. */
import { once } from "node:events"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { text } from "node:stream/consumers"
import { expect, jest, test } from "@jest/globals"
import { startDev } from "./support/fn.js"
import { temporaryFolder } from "./support/folder.js"
import { ECHO, moduleFunction } from "./support/functions.js"
import { fnInProcess } from "./support/in-process.js"

jest.setTimeout(120_000)

test("fn dev posts results to addresses of this machine", async () => {
  await using folder = await temporaryFolder(moduleFunction("echo", ECHO))
  await using dev = await startDev([], { cwd: folder.path })
  const run = (args: readonly string[]) => fnInProcess(args, { cwd: folder.path, env: { FN_NATS_URL: dev.nats } })
  expect(await run(["deploy", "echo"])).toMatchObject({ code: 0 })

  const posted: unknown[] = []
  await using receiver = createServer((request, response) => {
    void text(request).then((body) => {
      posted.push(JSON.parse(body))
      response.writeHead(204).end()
      receiver.emit("posted")
    })
  })
  receiver.listen(0, "127.0.0.1")
  await once(receiver, "listening")
  const arrival = once(receiver, "posted")
  const { port } = receiver.address() as AddressInfo
  const stored = await run(["invoke", "echo", "--async", "--callback", `http://localhost:${port}/done`, "--data", `{"n":1}`])
  expect(stored).toMatchObject({ code: 0 })
  await arrival
  expect(posted).toMatchObject([{ type: "fn.invocation.succeeded", id: stored.stdout.trim() }])
})
