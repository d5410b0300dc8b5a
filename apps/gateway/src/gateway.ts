/**
 * HTTP in front of functions.
 *
 * Bare node:http: a framework costs as much again as the whole rest of a call. One request is one call of the client; event data passes
 * through as bytes. What a client may cost is bounded: header size and time, body size and time, time to read its answer.
 *
 * Phases: ready, then draining (not ready for load balancers, connections are closed with their next answer), then closed.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http"
import type { AddressInfo, Socket } from "node:net"
import type { Client } from "@fn/client"
import { FnError, type Logger, messageOf, newId, noopLogger } from "@fn/core"
import { type ConnectionWatch, type NatsConnection, watchConnection } from "@fn/nats"
import { isHopeless, readBody, tooLarge } from "./body.js"
import { answerError, answerEvents, answerMode, PROBLEM_TYPE, problemOf, reasonPage, statusOf } from "./http-answer.js"
import { eventOf, type RequestHead, readHead } from "./http-event.js"
import { METHODS, type Route, routeOf, typeOf } from "./routes.js"
import { cancelCall, findResult, storeCall } from "./stored-calls.js"
import { Turn } from "./turn.js"

/** Something that renders metrics as text: the Prometheus instruments of @fn/metrics, or a prom-client registry. */
export interface MetricsPage {
  readonly contentType: string
  metrics(): string | Promise<string>
}

/** How a gateway is started. */
export interface GatewayOptions {
  /** Makes the calls. Stays open when the gateway closes, as does `nc`. */
  readonly client: Client
  /** The client's connection: the gateway is ready while it is up. */
  readonly nc: NatsConnection
  /** Default 127.0.0.1. */
  readonly host?: string | undefined
  /** 0 is a free one. */
  readonly port: number
  readonly logger?: Logger | undefined
  /** Largest body in bytes, each held in memory. Default: the NATS server's max_payload; up to 64 MiB where large events can be stored. */
  readonly bodyLimitBytes?: number | undefined
  /** What `GET /metrics` shows; the same instruments that the client got count the calls. Default: nothing, 404. */
  readonly instruments?: MetricsPage | undefined
  /** Time in which a request's headers must have come, ms. Default 10 000. */
  readonly headersTimeoutMs?: number | undefined
  /** Time in which a whole request must have come, ms. Default 60 000. How long the function takes does not count. */
  readonly requestTimeoutMs?: number | undefined
  /** How long an idle connection is kept, ms. Default 72 000: longer than load balancers keep theirs, or they reuse one that is closing. */
  readonly keepAliveMs?: number | undefined
}

/** A gateway that takes requests. */
export interface Gateway extends AsyncDisposable {
  /** `http://127.0.0.1:8080`. */
  readonly url: string
  readonly port: number
  /** Takes no new connections, lets requests under way finish for up to `graceMs` (default 30 000), then cuts them. May be called twice. */
  close(options?: { graceMs?: number }): Promise<void>
}

const HEADERS_TIMEOUT_MS = 10_000
const REQUEST_TIMEOUT_MS = 60_000
const KEEP_ALIVE_MS = 72_000
/** A client that does not read its answer loses the connection after this long. */
const SEND_TIMEOUT_MS = 30_000
const CLOSE_GRACE_MS = 30_000
const MAX_HEADER_BYTES = 16 * 1024
const DEFAULT_BODY_LIMIT_BYTES = 1024 * 1024
const JSON_TYPE = "application/json"

/**
 * Starts a gateway; it answers once this resolves.
 * @throws {FnError} unavailable PORT_IN_USE when the address cannot be listened on
 */
export async function startGateway(options: GatewayOptions): Promise<Gateway> {
  const gateway = new HttpGateway(options)
  await gateway.listen(options.port, options.host ?? "127.0.0.1")
  return gateway
}

class HttpGateway implements Gateway {
  url = ""
  port = 0
  readonly #client: Client
  readonly #connection: ConnectionWatch
  readonly #nc: NatsConnection
  readonly #log: Logger
  readonly #metrics: MetricsPage | undefined
  readonly #bodyLimitBytes: number | undefined
  readonly #server: Server
  readonly #turn = new Turn()
  #draining = false
  #closing: Promise<void> | undefined

  constructor(options: GatewayOptions) {
    this.#client = options.client
    this.#nc = options.nc
    this.#connection = watchConnection(options.nc)
    this.#log = options.logger ?? noopLogger
    this.#metrics = options.instruments
    this.#bodyLimitBytes = options.bodyLimitBytes
    const requestTimeout = options.requestTimeoutMs ?? REQUEST_TIMEOUT_MS
    const headersTimeout = Math.min(options.headersTimeoutMs ?? HEADERS_TIMEOUT_MS, requestTimeout)
    this.#server = createServer({
      maxHeaderSize: MAX_HEADER_BYTES,
      headersTimeout,
      requestTimeout,
      keepAliveTimeout: options.keepAliveMs ?? KEEP_ALIVE_MS,
      // How often Node looks for requests that are too slow: these limits are kept within a fifth.
      connectionsCheckingInterval: Math.max(50, Math.min(5_000, headersTimeout / 5)),
    })
    this.#server.on("request", (req, res) => void this.#handle(req, res))
    // A body that is refused anyway need not be sent.
    this.#server.on("checkContinue", (req: IncomingMessage, res: ServerResponse) => {
      if (Number(req.headers["content-length"]) > this.#limitBytes()) return this.#fail(res, tooLarge(this.#limitBytes()), { close: true })
      res.writeContinue()
      void this.#handle(req, res)
    })
    this.#server.on("clientError", (error: NodeJS.ErrnoException, socket: Socket) => refuseBadRequest(error, socket))
  }

  async listen(port: number, host: string): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", (cause) => {
        reject(FnError.of("PORT_IN_USE", `cannot listen on ${host}:${port}: ${messageOf(cause)}`, { cause }))
      })
      this.#server.listen(port, host, resolve)
    })
    this.#server.removeAllListeners("error")
    this.#server.on("error", (error) => this.#log.error("http server failed", { error: messageOf(error) }))
    this.port = (this.#server.address() as AddressInfo).port
    this.url = `http://${host.includes(":") ? `[${host}]` : host}:${this.port}`
    this.#log.info("gateway ready", { url: this.url })
  }

  close(options: { graceMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.graceMs ?? CLOSE_GRACE_MS)
    return this.#closing
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.close()
  }

  async #close(graceMs: number): Promise<void> {
    this.#draining = true
    this.#log.info("gateway draining", { graceMs })
    const closed = new Promise<void>((resolve) => this.#server.close(() => resolve()))
    const timer = setTimeout(() => this.#server.closeAllConnections(), graceMs)
    await closed
    clearTimeout(timer)
    this.#log.info("gateway closed", {})
  }

  async #handle(req: IncomingMessage, res: ServerResponse): Promise<void> {
    try {
      const route = routeOf(req.url ?? "")
      if (!route) throw FnError.of("ROUTE_NOT_FOUND", `there is nothing at ${req.url}`)
      const allowed = METHODS[route.kind]
      if (!allowed.includes(req.method ?? "")) {
        const error = FnError.of("METHOD_NOT_ALLOWED", `${req.method} is not possible here, but ${allowed.join(", ")} is`)
        return this.#fail(res, error, { headers: ["allow", allowed.join(", ")] })
      }
      if (route.kind === "invoke") await this.#invoke(req, res, route)
      else if (route.kind === "result") await this.#result(req, res, route)
      else await this.#page(res, route)
    } catch (thrown) {
      this.#fail(res, this.#visible(thrown))
    }
  }

  async #invoke(req: IncomingMessage, res: ServerResponse, route: Extract<Route, { kind: "invoke" }>): Promise<void> {
    const head = readHead(req.rawHeaders)
    const limitBytes = this.#limitBytes()
    if (isHopeless(head.contentLength, limitBytes)) return this.#fail(res, tooLarge(limitBytes), { close: true })
    const body = await readBody(req, limitBytes)
    const event = eventOf(head, body, typeOf(route.query))
    await this.#turn.over()
    if (res.destroyed) return // its client has gone meanwhile, and nothing was called
    if (head.respondAsync) await storeCall(this.#client, res, route.ref, event, head)
    else await this.#call(res, route.ref, event, head)
  }

  async #result(req: IncomingMessage, res: ServerResponse, route: Extract<Route, { kind: "result" }>): Promise<void> {
    const { namespace, id } = route
    if (this.#draining) res.setHeader("connection", "close")
    try {
      if (req.method === "DELETE") return await cancelCall(this.#client, res, namespace, id)
      const events = await findResult(this.#client, res, route)
      if (!events) return
      answerEvents(res, events, answerMode(req.headers.accept), id)
      expectRead(res)
    } catch (thrown) {
      this.#fail(res, this.#visible(thrown), { invocationId: id })
    }
  }

  async #call(res: ServerResponse, ref: string, event: ReturnType<typeof eventOf>, head: RequestHead): Promise<void> {
    const { timeoutMs, idempotencyKey } = head
    const call = this.#client.startCall(ref, event, { timeoutMs, idempotencyKey })
    const { invocationId } = call
    res.once("close", () => {
      if (!res.writableFinished) call.cancel("the HTTP client went away")
    })
    try {
      const events = await call.events
      if (this.#draining) res.setHeader("connection", "close")
      answerEvents(res, events, answerMode(head.accept), invocationId)
      expectRead(res)
    } catch (thrown) {
      this.#fail(res, this.#visible(thrown), { invocationId })
    }
  }

  async #page(res: ServerResponse, route: Exclude<Route, { kind: "invoke" | "result" }>): Promise<void> {
    if (this.#draining) res.setHeader("connection", "close")
    switch (route.kind) {
      case "health":
        return page(res, JSON_TYPE, `{"status":"alive"}\n`)
      case "ready":
        if (this.#draining) throw FnError.of("HOST_DRAINING", "the gateway is draining")
        if (!this.#connection.connected) throw FnError.of("DISCONNECTED", "the gateway is not connected to NATS")
        return page(res, JSON_TYPE, `{"status":"ready"}\n`)
      case "metrics":
        if (!this.#metrics) throw FnError.of("ROUTE_NOT_FOUND", "this gateway keeps no metrics")
        return page(res, this.#metrics.contentType, await this.#metrics.metrics())
      case "reason": {
        const explanation = reasonPage(route.reason)
        if (explanation === undefined) throw FnError.of("ROUTE_NOT_FOUND", "the platform has no such reason")
        return page(res, "text/plain; charset=utf-8", explanation)
      }
    }
  }

  /** The limit follows the server the connection is on now. */
  #limitBytes(): number {
    return this.#bodyLimitBytes ?? this.#nc.info?.max_payload ?? DEFAULT_BODY_LIMIT_BYTES
  }

  #fail(res: ServerResponse, error: FnError, options: { close?: boolean; headers?: readonly string[]; invocationId?: string } = {}): void {
    if (res.headersSent || res.destroyed) {
      res.destroy() // the answer broke off, or nobody is there to read one
      return
    }
    // A body that was not read would be taken for the next request.
    if (options.close || this.#draining || !res.req.complete) res.setHeader("connection", "close")
    answerError(res, error, options)
    expectRead(res)
  }

  /** What a client may see of an error: our own faults get an id that is in the log. */
  #visible(thrown: unknown): FnError {
    if (FnError.is(thrown)) return thrown
    const errorId = newId()
    this.#log.error("request failed", { errorId, error: messageOf(thrown), stack: (thrown as Error | undefined)?.stack })
    return new FnError("internal", "internal error", { cause: thrown, errorId })
  }
}

/** Bounds the time a client takes to read what the kernel could not take at once. Node sets its own time-out again once all is sent. */
function expectRead(res: ServerResponse): void {
  if (res.socket && res.socket.writableLength > 0) res.socket.setTimeout(SEND_TIMEOUT_MS)
}

function page(res: ServerResponse, contentType: string, body: string): void {
  const bytes = Buffer.from(body)
  res.writeHead(200, ["content-type", contentType, "content-length", String(bytes.length), "cache-control", "no-store"])
  res.end(res.req.method === "HEAD" ? undefined : bytes)
}

/** What does not parse, or comes too slowly, has no request object: the answer is written by hand, and the connection ends. */
function refuseBadRequest(error: NodeJS.ErrnoException, socket: Socket): void {
  if (error.code === "ECONNRESET" || !socket.writable) {
    socket.destroy()
    return
  }
  const [status, problem] = problemOfParser(error)
  const body = JSON.stringify({ ...problemOf(problem), status })
  const phrase = status === 431 ? "Request Header Fields Too Large" : status === 408 ? "Request Timeout" : "Bad Request"
  socket.end(
    `HTTP/1.1 ${status} ${phrase}\r\ncontent-type: ${PROBLEM_TYPE}\r\ncontent-length: ${Buffer.byteLength(body)}\r\nconnection: close\r\n\r\n${body}`,
  )
}

function problemOfParser(error: NodeJS.ErrnoException): [number, FnError] {
  switch (error.code) {
    case "HPE_HEADER_OVERFLOW":
      return [431, FnError.of("INVALID_REQUEST", `the headers are larger than ${MAX_HEADER_BYTES} bytes`)]
    case "ERR_HTTP_REQUEST_TIMEOUT":
      return [408, FnError.of("INVALID_REQUEST", "the request did not come in time")]
    default: {
      const problem = FnError.of("INVALID_REQUEST", `this is no HTTP request: ${messageOf(error)}`)
      return [statusOf(problem), problem]
    }
  }
}
