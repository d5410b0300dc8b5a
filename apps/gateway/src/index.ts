export { type Gateway, type GatewayOptions, type MetricsPage, startGateway } from "./gateway.js"
export { REQUEST_EVENT_SOURCE, REQUEST_EVENT_TYPE } from "./http-event.js"
