export {
  type GradedGuarantee,
  GUARANTEES,
  type Guarantee,
  type IsolationReport,
  type Level,
  type MechanismName,
} from "@fn/isolation"
export { type Builtin, loadBuiltins } from "./builtins.js"
export { isCallbackHost } from "./callbacks/http-policy.js"
export type { ExecutionReport } from "./dispatch/dispatcher.js"
export { type CommandStarterOptions, createCommandStarter } from "./instances/command/command-starter.js"
export type { Execution, Instance, InstanceSpec, InstanceStarter } from "./instances/instance.js"
export { createPluginStarter, type PluginStarterOptions } from "./instances/plugin/plugin-starter.js"
export { checkWasm } from "./instances/wasm/wasm-module.js"
export { createWasmStarter, type WasmStarterOptions } from "./instances/wasm/wasm-starter.js"
export { FunctionLauncher } from "./isolation/launcher.js"
export type { IsolationSettings } from "./isolation/policy.js"
export { DEFAULT_LIMITS, type QueueRuntimeOptions, type RuntimeLimits, type RuntimeOptions } from "./options.js"
export type { QueueDefaults } from "./queue/settings.js"
export { RuntimeService, startRuntime } from "./runtime-service.js"
export { VERSION } from "./version.js"
