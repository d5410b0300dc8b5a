export type { ExecutionReport } from "./dispatch/dispatcher.js"
export type { Execution, Instance, InstanceSpec, InstanceStarter } from "./instances/instance.js"
export { DEFAULT_LIMITS, type RuntimeLimits, type RuntimeOptions } from "./options.js"
export { RuntimeService, startRuntime } from "./runtime-service.js"
