/** go-plugin's own services, as a plugin offers them beside the application's. */
import type { Logger } from "@fn/core"
import { type goPluginBroker, goPluginController, goPluginStdio, health, goPluginBroker as wire } from "@fn/proto"
import { type handleBidiStreamingCall, type Server, type ServerWritableStream, status } from "@grpc/grpc-js"
import type { StreamBroker } from "../broker/broker.js"
import { brokerMessageFromConnInfo, connInfoFromBrokerMessage } from "../wire/messages.js"
import type { PluginOutput } from "./output.js"

/** What the services act upon. */
export interface ServiceParts {
  readonly output: PluginOutput
  readonly broker: StreamBroker
  readonly logger: Logger
  /** The host asked the plugin to end; called after the answer was given. */
  readonly onShutdown: () => void
}

const SERVED_NAMES: ReadonlySet<string> = new Set(["", "plugin"])
const { SERVING, SERVICE_UNKNOWN } = health.HealthCheckResponse_ServingStatus

/** Adds health, controller, stdio and broker. Returns what ends their streams, which would keep a server from stopping. */
export function addPluginServices(server: Server, parts: ServiceParts): () => void {
  const open = new Set<{ end(): void }>()
  const track = (stream: { end(): void; once(event: "cancelled", listener: () => void): unknown }): void => {
    open.add(stream)
    stream.once("cancelled", () => open.delete(stream))
  }
  server.addService(health.HealthService, healthService(track))
  server.addService(goPluginController.GRPCControllerService, {
    shutdown: (_call, reply) => {
      parts.logger.debug("host asked for shutdown")
      reply(null, {})
      parts.onShutdown()
    },
  } satisfies goPluginController.GRPCControllerServer)
  server.addService(goPluginStdio.GRPCStdioService, {
    streamStdio: (call) => {
      parts.logger.debug("host opened the stdio stream")
      parts.output.attach(call)
    },
  } satisfies goPluginStdio.GRPCStdioServer)
  server.addService(wire.GRPCBrokerService, { startStream: brokerStream(parts, track) } satisfies goPluginBroker.GRPCBrokerServer)
  return () => {
    for (const stream of open) stream.end()
  }
}

type Track = (stream: { end(): void; once(event: "cancelled", listener: () => void): unknown }) => void

function healthService(track: Track): health.HealthServer {
  return {
    check: ({ request }, reply) => {
      if (SERVED_NAMES.has(request.service)) reply(null, { status: SERVING })
      else reply({ code: status.NOT_FOUND, details: `unknown service ${request.service}` })
    },
    watch: (call: ServerWritableStream<health.HealthCheckRequest, health.HealthCheckResponse>) => {
      track(call)
      call.write({ status: SERVED_NAMES.has(call.request.service) ? SERVING : SERVICE_UNKNOWN })
    },
  }
}

/** The host opens one stream for the plugin's life; one more while it is open ends at once, as Go's does. */
function brokerStream(
  { broker, logger }: ServiceParts,
  track: Track,
): handleBidiStreamingCall<goPluginBroker.ConnInfo, goPluginBroker.ConnInfo> {
  let attached = false
  return (call) => {
    logger.debug("host opened the broker stream")
    if (attached) return void call.end()
    attached = true
    track(call)
    broker.attach((message) => call.write(connInfoFromBrokerMessage(message)))
    call.on("data", (info: goPluginBroker.ConnInfo) => {
      const message = brokerMessageFromConnInfo(info)
      if (message) broker.receive(message)
    })
    const detach = (): void => {
      attached = false
      broker.detach()
    }
    call.once("cancelled", detach)
    call.on("error", detach)
    call.once("end", () => {
      logger.debug("host ended the broker stream")
      call.end()
      detach()
    })
  }
}
