export { type AppOption, type AppSpec, type LoadedConfig, loadConfig } from "./config.js"
export { type HealthServer, type HealthServerOptions, startHealthServer } from "./health-server.js"
export { createAppLogger, LOG_OPTIONS, type LogSettings } from "./logging.js"
export { runUntilStopped, type Stoppable } from "./signals.js"
