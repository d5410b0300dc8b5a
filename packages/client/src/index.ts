export type { BroadcastAnswer } from "./broadcast.js"
export type { OngoingCall } from "./call.js"
export { type Client, connectClient, type InvokeResult } from "./client.js"
export type {
  AsyncCallOptions,
  AsyncOptions,
  CancelOutcome,
  DurableClient,
  InvocationScope,
  InvocationStatus,
  ResultOptions,
  StatusOptions,
} from "./durable/durable-client.js"
export { DATA_EVENT_TYPE } from "./event-input.js"
export type { EventStream } from "./event-stream.js"
export type { EventDataOf, EventInputOf, EventTypeOf, FunctionsOf, OutputOf, RefOf } from "./functions.js"
export type { DeadLetters, Executions, OperationsClient, Queue } from "./operations/operations-client.js"
export type {
  BroadcastCallOptions,
  BroadcastOptions,
  CallOptions,
  ClientSettings,
  InvokeOptions,
  OwnConnectionOptions,
  RefInput,
  SharedConnectionOptions,
  StartedCall,
  StreamCallOptions,
  StreamOptions,
} from "./options.js"
