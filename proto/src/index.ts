/** Generated from the .proto files beside this package: namespaced per proto package. */

export * as plugin from "./gen/fn/plugin/v1/function.js"
export * as duration from "./gen/google/protobuf/duration.js"
export * as struct from "./gen/google/protobuf/struct.js"
export * as timestamp from "./gen/google/protobuf/timestamp.js"
export * as goPluginBroker from "./gen/goplugin/plugin/grpc_broker.js"
export * as goPluginController from "./gen/goplugin/plugin/grpc_controller.js"
export * as goPluginStdio from "./gen/goplugin/plugin/grpc_stdio.js"
export * as health from "./gen/grpc/health/v1/health.js"
export * as cloudevents from "./gen/io/cloudevents/v1/cloudevents.js"
