import { ServiceBroker } from "moleculer"

/**
 * A broker at its best settings: no log, no metrics, no tracing, no validation, no middleware of its own, request timeouts off (their default); the
 * serializer is JSON, its fastest for objects of this size.
 */
export function startBroker(nodeID, url) {
  return new ServiceBroker({
    nodeID,
    transporter: { type: "NATS", options: { url } },
    serializer: "JSON",
    logger: false,
    metrics: false,
    tracing: false,
    validator: false,
    internalServices: false,
    internalMiddlewares: false,
    contextParamsCloning: false,
  })
}
