export { RUNTIME_SERVICE, type RuntimeServiceSettings } from "./config.js"
export { type RuntimeProcess, startRuntimeProcess } from "./runtime-process.js"
