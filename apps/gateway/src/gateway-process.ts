/**
 * The process around the gateway: connection, client, metrics, HTTP. Ends in the reverse order.
 */
import { connectClient } from "@fn/client"
import { FnError, type Logger } from "@fn/core"
import { createPrometheusInstruments } from "@fn/metrics"
import { connectNats, type NatsOptions } from "@fn/nats"
import type { GatewaySettings } from "./config.js"
import { type Gateway, startGateway } from "./gateway.js"

/** A running gateway process. */
export interface GatewayProcess {
  readonly gateway: Gateway
  /** Settles when it ended; with an error when it was not asked to. */
  readonly closed: Promise<FnError | undefined>
  /** Lets requests under way finish, then ends everything. */
  drain(): Promise<void>
}

/** Starts everything; what was started is ended again when a later part fails. @throws {FnError} as its parts do */
export async function startGatewayProcess(settings: GatewaySettings, nats: NatsOptions, logger: Logger): Promise<GatewayProcess> {
  const nc = await connectNats({ name: "fn-gateway", ...nats })
  const undo: (() => Promise<unknown>)[] = [() => nc.close()]
  try {
    const instruments = createPrometheusInstruments()
    const client = await connectClient({ nc, instruments, prefix: nats.prefix, jsDomain: nats.jsDomain })
    undo.push(() => client.close())
    const gateway = await startGateway({
      client,
      nc,
      logger,
      instruments,
      host: settings.httpHost,
      port: settings.httpPort,
      bodyLimitBytes: settings.bodyLimitBytes,
      headersTimeoutMs: settings.headersTimeoutMs,
      requestTimeoutMs: settings.requestTimeoutMs,
      keepAliveMs: settings.keepAliveMs,
    })
    let asked = false
    const closed = nc.closed().then(async (cause) => {
      if (asked) return undefined
      await gateway.close({ graceMs: 0 })
      return FnError.of("DISCONNECTED", "the connection to NATS was closed", { cause })
    })
    const drain = async (): Promise<void> => {
      asked = true
      await gateway.close({ graceMs: settings.drainMs })
      await client.close()
      await nc.close()
    }
    return { gateway, closed, drain }
  } catch (thrown) {
    for (const step of undo.reverse()) await step()
    throw thrown
  }
}
