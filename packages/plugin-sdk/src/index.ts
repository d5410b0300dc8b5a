export {
  type CloudEvent,
  CODES,
  type Code,
  type EventInit,
  FnError,
  type FnErrorOptions,
  type FunctionIdentity,
  type FunctionMetrics,
  type FunctionModule,
  type Handler,
  type HandlerContext,
  type HandlerOutput,
  type InitializeContext,
  type Logger,
  type LogLevel,
  type Span,
} from "@fn/core"
export * from "./duration.js"
export { defineEvent, type EventExtras, type EventType, type TypedEvent, type TypedEventInit } from "./event.js"
export { defineFunction } from "./function.js"
export type * from "./function-types.js"
export * from "./policy.js"
export { type ServePluginOptions, servePlugin } from "./serve-plugin.js"
export type { SchemaInput, SchemaIssue, SchemaOutput, SchemaResult, StandardSchema } from "./standard-schema.js"
