package io.github.fnplatform.fn;

import com.google.protobuf.Empty;
import io.github.fnplatform.fn.wire.grpc.health.v1.HealthProto.HealthCheckRequest;
import io.github.fnplatform.fn.wire.grpc.health.v1.HealthProto.HealthCheckResponse;
import io.github.fnplatform.fn.wire.plugin.GrpcBrokerProto.ConnInfo;
import io.github.fnplatform.fn.wire.plugin.GrpcControllerProto;
import io.github.fnplatform.fn.wire.plugin.GrpcStdioProto.StdioData;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.util.List;
import java.util.Set;

/** The services every go-plugin plugin has beside its own: health, controller, stdio and broker. */
final class PluginServices {
  private static final Set<String> SERVED_NAMES = Set.of("", "plugin");

  private PluginServices() {}

  /** {@code onShutdown} runs when the host asks the program to end. */
  static List<ServerServiceDefinition> all(Stdio stdio, Runnable onShutdown) {
    return List.of(health(), controller(onShutdown), stdio(stdio), broker());
  }

  private static ServerServiceDefinition health() {
    Methods methods = new Methods("grpc.health.v1.Health");
    HealthCheckRequest request = HealthCheckRequest.getDefaultInstance();
    HealthCheckResponse response = HealthCheckResponse.getDefaultInstance();
    return ServerServiceDefinition.builder("grpc.health.v1.Health")
        .addMethod(
            methods.unary("Check", request, response),
            ServerCalls.asyncUnaryCall(
                (asked, out) -> {
                  if (check(asked, out)) out.onCompleted();
                }))
        // Watching goes on until the connection ends.
        .addMethod(methods.serverStream("Watch", request, response), ServerCalls.asyncServerStreamingCall(PluginServices::check))
        .build();
  }

  private static boolean check(HealthCheckRequest asked, StreamObserver<HealthCheckResponse> out) {
    if (!SERVED_NAMES.contains(asked.getService())) {
      out.onError(Status.NOT_FOUND.withDescription("there is no service " + asked.getService()).asRuntimeException());
      return false;
    }
    out.onNext(HealthCheckResponse.newBuilder().setStatus(HealthCheckResponse.ServingStatus.SERVING).build());
    return true;
  }

  private static ServerServiceDefinition controller(Runnable onShutdown) {
    GrpcControllerProto.Empty empty = GrpcControllerProto.Empty.getDefaultInstance();
    return ServerServiceDefinition.builder("plugin.GRPCController")
        .addMethod(
            new Methods("plugin.GRPCController").unary("Shutdown", empty, empty),
            ServerCalls.asyncUnaryCall(
                (request, out) -> {
                  out.onNext(empty);
                  out.onCompleted();
                  onShutdown.run();
                }))
        .build();
  }

  private static ServerServiceDefinition stdio(Stdio stdio) {
    return ServerServiceDefinition.builder("plugin.GRPCStdio")
        .addMethod(
            new Methods("plugin.GRPCStdio").serverStream("StreamStdio", Empty.getDefaultInstance(), StdioData.getDefaultInstance()),
            ServerCalls.asyncServerStreamingCall((request, out) -> stdio.stream((ServerCallStreamObserver<StdioData>) out)))
        .build();
  }

  /** A function neither offers nor dials brokered connections; the host's stream stays open all the same. */
  private static ServerServiceDefinition broker() {
    ConnInfo info = ConnInfo.getDefaultInstance();
    return ServerServiceDefinition.builder("plugin.GRPCBroker")
        .addMethod(
            new Methods("plugin.GRPCBroker").bothStreams("StartStream", info, info),
            ServerCalls.asyncBidiStreamingCall(
                out ->
                    new StreamObserver<ConnInfo>() {
                      @Override
                      public void onNext(ConnInfo announced) {}

                      @Override
                      public void onError(Throwable gone) {}

                      @Override
                      public void onCompleted() {
                        out.onCompleted();
                      }
                    }))
        .build();
  }
}
