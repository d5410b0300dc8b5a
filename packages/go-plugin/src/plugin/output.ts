/**
 * What a plugin's code prints, on its way to the host: `process.stdout`, `process.stderr` and so `console`.
 *
 * After the handshake nothing may be written to the real stdout (a Go host stops reading after one long line, and the next write would
 * freeze the process), so it goes through go-plugin's stdio service. Until the host opens that stream, and while the host is slow,
 * a bounded ring keeps the newest output; printing never blocks and never fails.
 */
import { goPluginStdio } from "@fn/proto"
import type { ServerWritableStream } from "@grpc/grpc-js"

/** The host's one stream. */
export type StdioStream = Pick<ServerWritableStream<unknown, goPluginStdio.StdioData>, "write" | "end" | "on" | "once">

type Channel = "stdout" | "stderr"
interface Chunk {
  readonly channel: Channel
  readonly data: Buffer
}

const DEFAULT_RING_BYTES = 1024 * 1024
/** Larger prints are cut: a host may have a limit on messages. */
const MAX_CHUNK_BYTES = 32_768
const CHANNELS = { stdout: goPluginStdio.StdioData_Channel.STDOUT, stderr: goPluginStdio.StdioData_Channel.STDERR }

/** Output between program and host. */
export class PluginOutput {
  readonly #limit: number
  #ring: Chunk[] = []
  #sizeBytes = 0
  #droppedBytes = 0
  #stream: StdioStream | undefined
  #blocked = false
  #ended = false

  constructor(limitBytes: number = DEFAULT_RING_BYTES) {
    this.#limit = limitBytes
  }

  /** Takes what the program printed. */
  push(channel: Channel, bytes: Uint8Array): void {
    if (this.#ended) return
    // Copied: the program may reuse its buffer after write() returned.
    const data = Buffer.from(bytes)
    for (let at = 0; at < data.length; at += MAX_CHUNK_BYTES) this.#keep({ channel, data: data.subarray(at, at + MAX_CHUNK_BYTES) })
    this.#pump()
  }

  /** The host opened its stream. A second one while it is open ends at once: two readers would each get half. */
  attach(stream: StdioStream): void {
    if (this.#stream || this.#ended) return void stream.end()
    this.#stream = stream
    this.#blocked = false
    const detach = (): void => {
      if (this.#stream === stream) this.#stream = undefined
    }
    stream.once("cancelled", detach)
    stream.once("error", detach)
    stream.on("drain", () => {
      this.#blocked = false
      this.#pump()
    })
    this.#pump()
  }

  /** Sends what is left and ends the stream. */
  end(): void {
    if (this.#ended) return
    this.#ended = true
    this.#blocked = false
    // Past the stream's own buffer: a last flood must not be lost for politeness.
    while (this.#stream && this.#ring.length > 0) this.#sendFirst(this.#stream)
    this.#stream?.end()
    this.#stream = undefined
  }

  /** Replaces the two streams' `write`; the result puts them back. */
  redirect(): () => void {
    const undo = [this.#redirect("stdout"), this.#redirect("stderr")]
    return () => {
      for (const restore of undo) restore()
    }
  }

  #redirect(channel: Channel): () => void {
    const stream = process[channel]
    const original = stream.write
    stream.write = (
      chunk: Uint8Array | string,
      encoding?: BufferEncoding | ((error?: Error | null) => void),
      done?: (error?: Error | null) => void,
    ) => {
      const callback = typeof encoding === "function" ? encoding : done
      this.push(channel, typeof chunk === "string" ? Buffer.from(chunk, typeof encoding === "string" ? encoding : "utf8") : chunk)
      if (callback) process.nextTick(callback)
      return true
    }
    return () => {
      stream.write = original
    }
  }

  #keep(chunk: Chunk): void {
    this.#ring.push(chunk)
    this.#sizeBytes += chunk.data.length
    while (this.#sizeBytes > this.#limit && this.#ring.length > 1) {
      const dropped = (this.#ring.shift() as Chunk).data.length
      this.#sizeBytes -= dropped
      this.#droppedBytes += dropped
    }
  }

  #pump(): void {
    while (this.#stream && !this.#blocked && this.#ring.length > 0) this.#blocked = !this.#sendFirst(this.#stream)
  }

  #sendFirst(stream: StdioStream): boolean {
    if (this.#droppedBytes > 0) {
      const notice = `[${this.#droppedBytes} bytes of earlier output were dropped: the host read too slowly]\n`
      this.#droppedBytes = 0
      stream.write({ channel: CHANNELS.stderr, data: Buffer.from(notice) })
    }
    const { channel, data } = this.#ring.shift() as Chunk
    this.#sizeBytes -= data.length
    return stream.write({ channel: CHANNELS[channel], data })
  }
}
