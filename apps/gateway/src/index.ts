export { GATEWAY, type GatewaySettings } from "./config.js"
export { type Gateway, type GatewayOptions, type MetricsPage, startGateway } from "./gateway.js"
export { type GatewayProcess, startGatewayProcess } from "./gateway-process.js"
export { REQUEST_EVENT_SOURCE, REQUEST_EVENT_TYPE } from "./http-event.js"
