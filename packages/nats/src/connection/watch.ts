/**
 * Whether a connection is up, and when it goes and comes back: one reader of `nc.status()` per connection, for everybody.
 *
 * It lives as long as the connection. `connected` turns false when the client noticed the loss and true once its subscriptions
 * are back on a server, so what is published while it is true has a socket to go to.
 */
import { FnError } from "@fn/core"
import { errors, type NatsConnection } from "@nats-io/transport-node"
import { fromNatsError } from "./errors.js"

/** What can be learnt of a connection. Each `on…` returns a function that ends the watch; listeners must not throw. */
export interface ConnectionWatch {
  readonly connected: boolean
  /** The connection was lost, or closed for good (`closed`). */
  onDisconnect(listener: (error: FnError, closed: boolean) => void): () => void
  /** It is back, its subscriptions in place. */
  onReconnect(listener: () => void): () => void
  /** The server refused a publish to `subject`. */
  onPublishDenied(listener: (subject: string, error: FnError) => void): () => void
  /**
   * Resolves when connected.
   * @throws {FnError} unavailable DISCONNECTED after `timeoutMs`, or when the connection is closed; cancelled CANCELLED
   */
  untilConnected(options: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<void>
}

const watches = new WeakMap<NatsConnection, Watch>()

/** The watch of `nc`. */
export function watchConnection(nc: NatsConnection): ConnectionWatch {
  let watch = watches.get(nc)
  if (!watch) {
    watch = new Watch(nc)
    watches.set(nc, watch)
  }
  return watch
}

class Watch implements ConnectionWatch {
  connected: boolean
  #closed = false
  readonly #lost = new Set<(error: FnError, closed: boolean) => void>()
  readonly #back = new Set<() => void>()
  readonly #denied = new Set<(subject: string, error: FnError) => void>()

  constructor(nc: NatsConnection) {
    this.connected = isConnected(nc)
    this.#closed = nc.isClosed()
    if (!this.#closed) void this.#read(nc)
  }

  onDisconnect(listener: (error: FnError, closed: boolean) => void): () => void {
    return listen(this.#lost, listener)
  }

  onReconnect(listener: () => void): () => void {
    return listen(this.#back, listener)
  }

  onPublishDenied(listener: (subject: string, error: FnError) => void): () => void {
    return listen(this.#denied, listener)
  }

  untilConnected({ timeoutMs, signal }: { timeoutMs: number; signal?: AbortSignal | undefined }): Promise<void> {
    if (this.connected) return Promise.resolve()
    if (this.#closed) return Promise.reject(closedError())
    if (signal?.aborted) return Promise.reject(FnError.from(signal.reason, "cancelled"))
    return new Promise((resolve, reject) => {
      const end = (error?: FnError): void => {
        clearTimeout(timer)
        stopBack()
        stopLost()
        signal?.removeEventListener("abort", onAbort)
        if (error) reject(error)
        else resolve()
      }
      const onAbort = (): void => end(FnError.from(signal?.reason, "cancelled"))
      const timer = setTimeout(() => end(FnError.of("DISCONNECTED", `not connected to NATS after ${timeoutMs} ms`)), timeoutMs)
      const stopBack = this.onReconnect(() => end())
      const stopLost = this.onDisconnect((error, closed) => {
        if (closed) end(error)
      })
      signal?.addEventListener("abort", onAbort, { once: true })
    })
  }

  async #read(nc: NatsConnection): Promise<void> {
    for await (const status of nc.status()) {
      switch (status.type) {
        case "disconnect":
          this.#disconnected(FnError.of("DISCONNECTED", `the connection to NATS at ${status.server} was lost`), false)
          break
        case "reconnect":
          this.connected = true
          for (const listener of [...this.#back]) listener()
          break
        case "error":
          if (status.error instanceof errors.PermissionViolationError && status.error.operation === "publish") {
            const { subject } = status.error
            const error = fromNatsError(status.error, `publishing to ${subject}`)
            for (const listener of [...this.#denied]) listener(subject, error)
          }
          break
        default:
          break
      }
    }
    this.#disconnected(closedError(), true)
  }

  #disconnected(error: FnError, closed: boolean): void {
    this.connected = false
    this.#closed ||= closed
    for (const listener of [...this.#lost]) listener(error, closed)
  }
}

function closedError(): FnError {
  return FnError.of("DISCONNECTED", "the connection to NATS is closed")
}

function listen<T>(listeners: Set<T>, listener: T): () => void {
  listeners.add(listener)
  return () => void listeners.delete(listener)
}

/** The client tells this only to itself; without that field a connection that is open counts as connected. */
function isConnected(nc: NatsConnection): boolean {
  const { protocol } = nc as NatsConnection & { protocol?: { connected?: unknown } }
  return !nc.isClosed() && protocol?.connected !== false
}
