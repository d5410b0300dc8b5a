import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { FnError, messageOf } from "@fn/core"

/** What the endpoints of an app say. */
export interface HealthServerOptions {
  readonly host?: string
  /** 0: a free one. */
  readonly port: number
  /** Whether the app can take work now. Its alive-ness is that it answers at all. */
  readonly ready: () => boolean
  /** JSON for `/readyz`. */
  readonly details?: () => unknown
  /** Prometheus text for `/metrics`; absent: 404. */
  readonly metrics?: () => Promise<{ contentType: string; text: string }>
}

/** A running health server. */
export interface HealthServer {
  readonly url: string
  close(): Promise<void>
}

/** Serves `GET /healthz`, `/readyz` and `/metrics`. @throws {FnError} unavailable PORT_IN_USE */
export async function startHealthServer(options: HealthServerOptions): Promise<HealthServer> {
  const host = options.host ?? "127.0.0.1"
  const server = createServer((request, response) => {
    answer(options, request.method, (request.url ?? "").split("?")[0]).then(
      ({ status, contentType, body }) => response.writeHead(status, { "content-type": contentType }).end(body),
      (thrown) => response.writeHead(500, { "content-type": "text/plain" }).end(messageOf(thrown)),
    )
  })
  await new Promise<void>((resolve, reject) => {
    server.once("error", (thrown) =>
      reject(FnError.of("PORT_IN_USE", `cannot listen on ${host}:${options.port}: ${thrown.message}`, { cause: thrown })),
    )
    server.listen(options.port, host, resolve)
  })
  const close = (): Promise<void> =>
    new Promise((resolve) => {
      server.close(() => resolve())
      server.closeAllConnections()
    })
  return { url: `http://${host}:${(server.address() as AddressInfo).port}`, close }
}

interface Answer {
  readonly status: number
  readonly contentType: string
  readonly body: string
}

async function answer(options: HealthServerOptions, method: string | undefined, path: string | undefined): Promise<Answer> {
  if (method !== "GET" && method !== "HEAD") return { status: 405, contentType: "text/plain", body: "only GET\n" }
  switch (path) {
    case "/healthz":
      return json(200, { status: "alive" })
    case "/readyz": {
      const ready = options.ready()
      return json(ready ? 200 : 503, { status: ready ? "ready" : "not ready", ...(options.details?.() as object | undefined) })
    }
    case "/metrics": {
      if (!options.metrics) break
      const { contentType, text } = await options.metrics()
      return { status: 200, contentType, body: text }
    }
    default:
      break
  }
  return { status: 404, contentType: "text/plain", body: "there are /healthz, /readyz and /metrics\n" }
}

function json(status: number, body: unknown): Answer {
  return { status, contentType: "application/json", body: `${JSON.stringify(body)}\n` }
}
