/**
 * yamux: many streams over one connection, as go-plugin multiplexes its broker (https://github.com/hashicorp/yamux/blob/master/spec.md).
 *
 * Frames have a header of twelve bytes: version 0, type, flags (16 bit), stream (32 bit), length (32 bit). Ids of the client are odd, the
 * server's even, 0 is the session. Each direction of a stream may send as much as the receiver has granted, 256 KiB to begin with.
 */
import { Duplex } from "node:stream"

/** Streams over one connection. */
export interface YamuxOptions {
  /** The host is the client of yamux, the plugin its server. */
  readonly side: "client" | "server"
  /** The other side opened a stream. */
  readonly onStream: (stream: Duplex) => void
}

const HEADER_BYTES = 12
const TYPE = { data: 0, window: 1, ping: 2, goAway: 3 } as const
const FLAG = { syn: 1, ack: 2, fin: 4, rst: 8 } as const
const INITIAL_WINDOW_BYTES = 256 * 1024
/** A frame is at most a window long; more is no frame of ours. */
const MAX_DATA_BYTES = INITIAL_WINDOW_BYTES
/** Large writes are cut, so that streams take turns. */
const MAX_FRAME_BYTES = 32 * 1024

interface Frame {
  readonly type: number
  readonly flags: number
  readonly id: number
  readonly length: number
}

/** One end of a yamux connection. It is over when the connection is, or when that carries what is not yamux. */
export class YamuxSession {
  readonly #connection: Duplex
  readonly #options: YamuxOptions
  readonly #streams = new Map<number, YamuxStream>()
  #received: Buffer[] = []
  #receivedBytes = 0
  #nextId: number
  #failure: Error | undefined

  constructor(connection: Duplex, options: YamuxOptions) {
    this.#connection = connection
    this.#options = options
    this.#nextId = options.side === "client" ? 1 : 2
    connection.once("close", () => {
      for (const stream of [...this.#streams.values()]) stream.destroy(this.#failure)
    })
    connection.on("error", (error) => {
      this.#failure ??= error
    })
    connection.on("end", () => connection.destroy())
    connection.on("data", (chunk: Buffer) => this.#receive(chunk))
  }

  /** Opens a stream. What is written may leave before the other side has accepted it. */
  open(): Duplex {
    if (this.#connection.destroyed) throw this.#failure ?? new Error("the multiplexed connection has ended")
    const stream = this.#add(this.#nextId)
    this.#nextId += 2
    this.#send({ type: TYPE.window, flags: FLAG.syn, id: stream.id, length: 0 })
    return stream
  }

  close(): void {
    this.#connection.destroy()
  }

  #add(id: number): YamuxStream {
    const stream = new YamuxStream(id, {
      send: (flags, data, done) => this.#send({ type: TYPE.data, flags, id, length: data.length }, data, done),
      grant: (bytes) => this.#send({ type: TYPE.window, flags: 0, id, length: bytes }),
      forget: () => this.#streams.delete(id),
    })
    this.#streams.set(id, stream)
    return stream
  }

  #send(frame: Frame, data?: Buffer, done?: (error?: Error | null) => void): void {
    if (this.#connection.destroyed) return void done?.(this.#failure ?? new Error("the multiplexed connection has ended"))
    const header = Buffer.alloc(HEADER_BYTES)
    header.writeUInt8(frame.type, 1)
    header.writeUInt16BE(frame.flags, 2)
    header.writeUInt32BE(frame.id, 4)
    header.writeUInt32BE(frame.length, 8)
    if (!data || data.length === 0) return void this.#connection.write(header, done)
    this.#connection.cork()
    this.#connection.write(header)
    this.#connection.write(data, done)
    this.#connection.uncork()
  }

  #receive(chunk: Buffer): void {
    this.#received.push(chunk)
    this.#receivedBytes += chunk.length
    while (this.#receivedBytes >= HEADER_BYTES && !this.#connection.destroyed) {
      const bytes = this.#received.length === 1 ? (this.#received[0] as Buffer) : Buffer.concat(this.#received)
      const frame = headerOf(bytes)
      const dataBytes = frame?.type === TYPE.data ? frame.length : 0
      if (!frame || dataBytes > MAX_DATA_BYTES) return this.#fail("the connection carries something else than yamux")
      const whole = HEADER_BYTES + dataBytes
      this.#received = [bytes]
      if (bytes.length < whole) return
      this.#received = bytes.length > whole ? [bytes.subarray(whole)] : []
      this.#receivedBytes -= whole
      this.#take(frame, bytes.subarray(HEADER_BYTES, whole))
    }
  }

  #take(frame: Frame, data: Buffer): void {
    if (frame.type === TYPE.ping) {
      if (frame.flags & FLAG.syn) this.#send({ ...frame, flags: FLAG.ack })
      return
    }
    // The other side opens nothing more; what is open goes on.
    if (frame.type === TYPE.goAway) return
    if (frame.flags & FLAG.syn) this.#accept(frame.id)
    const stream = this.#streams.get(frame.id)
    // Late frames of a stream that is gone here.
    if (!stream) return
    if (frame.flags & FLAG.rst) return void stream.destroy(new Error("the other side reset the stream"))
    if (frame.type === TYPE.window) stream.granted(frame.length)
    else if (!stream.received(data)) this.#fail(`stream ${frame.id} got more than it had granted`)
    if (frame.flags & FLAG.fin) stream.ended()
  }

  #accept(id: number): void {
    const theirs = id % 2 === (this.#options.side === "client" ? 0 : 1)
    if (id === 0 || !theirs || this.#streams.has(id)) return this.#fail(`stream ${id} cannot be opened by the other side`)
    const stream = this.#add(id)
    this.#send({ type: TYPE.window, flags: FLAG.ack, id, length: 0 })
    this.#options.onStream(stream)
  }

  #fail(message: string): void {
    this.#failure ??= new Error(message)
    this.#connection.destroy()
  }
}

/** How a stream reaches its session. */
interface StreamPort {
  send(flags: number, data: Buffer, done?: (error?: Error | null) => void): void
  grant(bytes: number): void
  forget(): void
}

class YamuxStream extends Duplex {
  readonly id: number
  readonly #port: StreamPort
  #sendWindow = INITIAL_WINDOW_BYTES
  #receiveWindow = INITIAL_WINDOW_BYTES
  /** Read by our side, not granted again yet. */
  #consumed = 0
  /** Arrived while our side was not reading. */
  #backlog: Buffer[] = []
  #reading = false
  #blocked: (() => void) | undefined
  #finSent = false
  #finReceived = false

  constructor(id: number, port: StreamPort) {
    super({ allowHalfOpen: true })
    this.id = id
    this.#port = port
    // Whoever uses it sees it close; without a listener an error would end the process.
    this.on("error", () => undefined)
  }

  /** False for more than was granted. */
  received(data: Buffer): boolean {
    if (data.length === 0) return true
    this.#receiveWindow -= data.length
    if (this.#receiveWindow < 0) return false
    this.#backlog.push(data)
    this.#pump()
    return true
  }

  granted(bytes: number): void {
    this.#sendWindow += bytes
    const blocked = this.#blocked
    if (!blocked || this.#sendWindow === 0) return
    this.#blocked = undefined
    blocked()
  }

  ended(): void {
    this.#finReceived = true
    this.#pump()
  }

  override _read(): void {
    this.#reading = true
    this.#pump()
  }

  override _write(chunk: Buffer, _encoding: BufferEncoding, done: (error?: Error | null) => void): void {
    if (this.#sendWindow === 0) {
      this.#blocked = () => this._write(chunk, _encoding, done)
      return
    }
    const part = chunk.subarray(0, Math.min(chunk.length, this.#sendWindow, MAX_FRAME_BYTES))
    this.#sendWindow -= part.length
    const rest = chunk.subarray(part.length)
    this.#port.send(0, part, (error) => (error || rest.length === 0 ? done(error) : this._write(rest, _encoding, done)))
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#finSent = true
    this.#port.send(FLAG.fin, Buffer.alloc(0), done)
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    const whole = this.#finSent && this.#finReceived
    // A stream that ended both ways needs no last word.
    if (!whole) this.#port.send(FLAG.rst, Buffer.alloc(0), () => undefined)
    this.#port.forget()
    this.#blocked = undefined
    this.#backlog = []
    done(error)
  }

  #pump(): void {
    while (this.#reading) {
      const data = this.#backlog.shift()
      if (!data) break
      this.#consumed += data.length
      // Before push(), which may ask for more while it runs.
      this.#reading = false
      if (this.push(data)) this.#reading = true
    }
    if (this.#backlog.length === 0 && this.#finReceived && !this.readableEnded && !this.destroyed) this.push(null)
    if (this.#consumed < INITIAL_WINDOW_BYTES / 2) return
    this.#receiveWindow += this.#consumed
    this.#port.grant(this.#consumed)
    this.#consumed = 0
  }
}

function headerOf(bytes: Buffer): Frame | undefined {
  const [version, type] = [bytes.readUInt8(0), bytes.readUInt8(1)]
  if (version !== 0 || type > TYPE.goAway) return undefined
  return { type, flags: bytes.readUInt16BE(2), id: bytes.readUInt32BE(4), length: bytes.readUInt32BE(8) }
}
