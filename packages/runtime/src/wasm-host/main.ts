/**
 * The program inside a WebAssembly process: loads one module and runs it for the frames that come in on descriptor 3, one at a time.
 *
 * Phases: waiting (a spare) → loading → ready → closing. While a program runs nothing is read, not even a cancellation: the host ends the
 * process then. It ends by itself when descriptor 3 closes, which is when its host is gone. Bundled into one file at build time.
 */
import { Socket } from "node:net"
import { decodeCall, encodeResult, FnError, FrameKind, FrameReader, FrameWriter, type LoadResponse } from "@fn/core"
import type { WasmLoad } from "./messages.js"
import { WasmProgram } from "./wasm-program.js"

const socket = new Socket({ fd: 3, readable: true, writable: true })
const writer = new FrameWriter(socket)
let loaded: { program: WasmProgram; load: WasmLoad } | undefined

const reader = new FrameReader((kind, callId, body) => {
  switch (kind) {
    case FrameKind.call:
      return execute(callId, body)
    case FrameKind.ping:
      return writer.write(FrameKind.pong, 0, [])
    case FrameKind.load:
      return void load(JSON.parse(body.toString("utf8")) as WasmLoad)
    case FrameKind.shutdown:
      return void socket.end(() => process.exit(0))
    default:
      return undefined // a frame of a newer host, or a cancellation that came after the end
  }
})

socket.on("data", (chunk: Buffer) => reader.push(chunk))
socket.on("close", () => process.exit(0))
socket.on("error", () => process.exit(0)) // the host is gone: nobody to tell
// Ctrl-C reaches the whole terminal group: the host decides when its children end.
process.on("SIGINT", () => undefined)
writer.write(FrameKind.ready, 0, [])

async function load(request: WasmLoad): Promise<void> {
  try {
    loaded = { program: await WasmProgram.load(request), load: request }
    const response: LoadResponse = { rssBytes: process.memoryUsage.rss() }
    writer.writeJson(FrameKind.loaded, 0, response)
  } catch (thrown) {
    writer.writeJson(FrameKind.error, 0, FnError.from(thrown, "failed_precondition", "LOAD_FAILED").toData())
  }
}

function execute(callId: number, body: Buffer): void {
  try {
    if (!loaded) throw new FnError("internal", "a call came before the load")
    const { program, load } = loaded
    const { head, data } = decodeCall(body)
    const { invocationId, attempt, timeoutMs = Number.POSITIVE_INFINITY, attributes } = head
    const events = program.run({ fn: load.fn, config: load.config, invocationId, attempt, timeoutMs, event: { attributes, data } })
    writer.write(FrameKind.result, callId, encodeResult(events))
  } catch (thrown) {
    writer.writeJson(FrameKind.error, callId, FnError.from(thrown).toData())
  }
}
