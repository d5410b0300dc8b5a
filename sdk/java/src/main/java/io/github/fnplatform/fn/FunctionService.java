package io.github.fnplatform.fn;

import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallContext;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.Capability;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.DescribeRequest;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.DescribeResponse;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.Diagnostic;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.ExecuteRequest;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.ExecuteResponse;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.FunctionType;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.HostEnvelope;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.InitializeRequest;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.InitializeResponse;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.PluginEnvelope;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.ShutdownRequest;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.ShutdownResponse;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent;
import io.grpc.Deadline;
import io.grpc.Metadata;
import io.grpc.ServerServiceDefinition;
import io.grpc.Status;
import io.grpc.StatusRuntimeException;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.ServerCalls;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.LinkedBlockingQueue;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import java.util.concurrent.atomic.AtomicInteger;

/**
 * fn.plugin.v1.Function over one function. Unary calls and streams share the count of running calls, so one drain waits for both. All of it on
 * the loop, but for what the author wrote.
 */
final class FunctionService {
  /** The largest event of the platform is 64 MiB. */
  static final int MAX_MESSAGE_BYTES = 80 * 1024 * 1024;

  private static final String SDK_NAME = "fn-java";
  private static final String SDK_VERSION = "0.1.0";
  private static final int DEFAULT_CALL_CREDIT = 1024;
  private static final Duration DEFAULT_GRACE = Duration.ofSeconds(1);
  /** A function may have 64 threads and processes unless it asks for more, and the JVM has some of its own. */
  private static final int MAX_THREADS = 32;

  private static final Metadata.Key<byte[]> STATUS_DETAILS =
      Metadata.Key.of("grpc-status-details-bin", Metadata.BINARY_BYTE_MARSHALLER);

  private final Fn function;
  private final Loop loop;
  private final Log log;
  private final ThreadPoolExecutor threads;
  private boolean isInitialized;
  private Execution.Ready ready;
  private int running;
  private boolean isDraining;
  private CompletableFuture<Void> idle = CompletableFuture.completedFuture(null);
  private CompletableFuture<Integer> ending;

  FunctionService(Fn function, Loop loop, Log log) {
    this.function = function;
    this.loop = loop;
    this.log = log;
    int count = Math.min(callCredit(), MAX_THREADS);
    AtomicInteger number = new AtomicInteger();
    threads =
        new ThreadPoolExecutor(
            count,
            count,
            10,
            TimeUnit.SECONDS,
            new LinkedBlockingQueue<>(),
            work -> {
              Thread made = new Thread(work, "fn-handler-" + number.incrementAndGet());
              made.setDaemon(true);
              return made;
            });
    threads.allowCoreThreadTimeOut(true);
  }

  /** What a gRPC server registers. */
  ServerServiceDefinition definition() {
    Methods methods = new Methods("fn.plugin.v1.Function");
    return ServerServiceDefinition.builder("fn.plugin.v1.Function")
        .addMethod(
            methods.unary("Describe", DescribeRequest.getDefaultInstance(), DescribeResponse.getDefaultInstance()),
            ServerCalls.asyncUnaryCall((request, out) -> answer(out, CompletableFuture.completedFuture(describe()))))
        .addMethod(
            methods.unary("Initialize", InitializeRequest.getDefaultInstance(), InitializeResponse.getDefaultInstance()),
            ServerCalls.asyncUnaryCall((request, out) -> answer(out, initialize(request))))
        .addMethod(
            methods.unary("Execute", ExecuteRequest.getDefaultInstance(), ExecuteResponse.getDefaultInstance()),
            ServerCalls.asyncUnaryCall(this::executeUnary))
        .addMethod(
            methods.bothStreams("ExecuteStream", HostEnvelope.getDefaultInstance(), PluginEnvelope.getDefaultInstance()),
            ServerCalls.asyncBidiStreamingCall(this::executeStream))
        .addMethod(
            methods.unary("Shutdown", ShutdownRequest.getDefaultInstance(), ShutdownResponse.getDefaultInstance()),
            ServerCalls.asyncUnaryCall((request, out) -> answer(out, shutdown(request))))
        .build();
  }

  /** Calls the host may have open at once on a stream. */
  int callCredit() {
    return function.maxConcurrency() == 0 ? DEFAULT_CALL_CREDIT : function.maxConcurrency();
  }

  boolean isDraining() {
    return isDraining;
  }

  /** The log for what is said of a call that is over. */
  Log processLog(CallContext call) {
    return log.with("invocationId", call.getInvocationId());
  }

  /** One call of a function that is ready; it counts from now on, so start it. */
  Execution execute(
      CloudEvent event, CallContext call, Duration timeout, Log callLog, Execution.Emission emission, Execution.Done done) {
    Execution execution =
        new Execution(
            ready,
            event,
            call,
            timeout,
            callLog,
            emission,
            (events, failure) -> {
              running--;
              done.accept(events, failure);
              if (running == 0) idle.complete(null);
            });
    if (running++ == 0) idle = new CompletableFuture<>();
    return execution;
  }

  /** Refuses calls, waits for the running ones and runs the function's shutdown; once. Gives the number of calls left behind. */
  CompletableFuture<Integer> end(Duration grace) {
    if (ending == null) {
      isDraining = true;
      CompletableFuture<Void> over = new CompletableFuture<>();
      idle.thenAccept(over::complete);
      loop.after(grace, () -> over.complete(null));
      ending = over.thenCompose(nothing -> afterCalls(running, grace));
    }
    return ending;
  }

  private CompletableFuture<Integer> afterCalls(int abandoned, Duration grace) {
    if (ready == null) return CompletableFuture.completedFuture(abandoned);
    return author(
            () -> {
              function.onShutdown().run();
              return abandoned;
            })
        .orTimeout(Math.max(1, grace.toMillis()), TimeUnit.MILLISECONDS);
  }

  private DescribeResponse describe() {
    return DescribeResponse.newBuilder()
        .setName(function.name())
        .setVersion(function.version())
        .setType(FunctionType.FUNCTION_TYPE_STATELESS)
        .addCapabilities(Capability.CAPABILITY_EXECUTE_STREAM)
        .addCapabilities(Capability.CAPABILITY_CANCEL)
        .addCapabilities(Capability.CAPABILITY_PARTIAL_OUTPUT)
        .setDescription(function.description())
        .addAllAccepts(function.accepts())
        .addAllEmits(function.emits())
        .setConfigSchemaJson(function.configSchema())
        .setMaxConcurrency(function.maxConcurrency())
        .setMaxReceiveBytes(MAX_MESSAGE_BYTES)
        .setSdkName(SDK_NAME)
        .setSdkVersion(SDK_VERSION)
        .build();
  }

  private CompletableFuture<InitializeResponse> initialize(InitializeRequest request) {
    if (isInitialized) return CompletableFuture.failedFuture(FnException.precondition("this plugin is initialized already"));
    isInitialized = true;
    Map<String, String> host = request.getHostMetadataMap();
    // What a host of ours sends; another knows neither namespace nor version.
    FunctionIdentity identity =
        new FunctionIdentity(
            host.getOrDefault("fn.namespace", "default"),
            host.getOrDefault("fn.name", function.name()),
            host.getOrDefault("fn.version", function.version()),
            request.getInstanceId());
    Init init = new Init(identity, Wire.toMap(request.getConfig()), Map.copyOf(request.getSecretsMap()), log);
    CompletableFuture<InitializeResponse> answer = new CompletableFuture<>();
    author(
            () -> {
              function.onSetup().run(init);
              return null;
            })
        .whenComplete((nothing, thrown) -> loop.execute(() -> answer.complete(initialized(init, thrown))));
    return answer;
  }

  private InitializeResponse initialized(Init init, Throwable thrown) {
    if (thrown == null) {
      ready = new Execution.Ready(function, init, loop, threads::execute);
      return InitializeResponse.getDefaultInstance();
    }
    if (!(causeOf(thrown) instanceof FnException)) log.error("setup failed", "stack", Stacks.text(causeOf(thrown)));
    return InitializeResponse.newBuilder().addAllDiagnostics(diagnosticsOf(FnException.of(causeOf(thrown)))).build();
  }

  /** One for each wrong key of the configuration, or one for all that is wrong. */
  private static List<Diagnostic> diagnosticsOf(FnException failure) {
    boolean isConfig = failure.reason().equals("INVALID_CONFIG");
    String reason = failure.reason().isEmpty() || failure.reason().equals("FUNCTION_THREW") ? "INIT_FAILED" : failure.reason();
    if (isConfig && failure.details().get("issues") instanceof List<?> issues)
      return issues.stream()
          .map(
              issue -> {
                Map<?, ?> told = (Map<?, ?>) issue;
                return diagnostic(String.valueOf(told.get("message")), reason).setConfigPath(String.valueOf(told.get("pointer"))).build();
              })
          .toList();
    return List.of(diagnostic(failure.getMessage(), reason).build());
  }

  private static Diagnostic.Builder diagnostic(String summary, String detail) {
    return Diagnostic.newBuilder().setSeverity(Diagnostic.Severity.SEVERITY_ERROR).setSummary(summary).setDetail(detail);
  }

  private void executeUnary(ExecuteRequest request, StreamObserver<ExecuteResponse> out) {
    FnException refusal = isDraining ? FnException.draining() : unready();
    if (refusal != null) {
      out.onError(statusOf(refusal));
      return;
    }
    Deadline deadline = io.grpc.Context.current().getDeadline();
    Duration timeout = deadline == null ? null : Duration.ofNanos(deadline.timeRemaining(TimeUnit.NANOSECONDS));
    CompletableFuture<ExecuteResponse> answer = new CompletableFuture<>();
    Execution execution =
        execute(
            request.getEvent(),
            request.getContext(),
            timeout,
            processLog(request.getContext()),
            null,
            (events, failure) -> {
              if (failure == null) answer.complete(ExecuteResponse.newBuilder().addAllEvents(events).build());
              else answer.completeExceptionally(failure);
            });
    ((ServerCallStreamObserver<ExecuteResponse>) out)
        .setOnCancelHandler(() -> execution.cancel(CancelledException.because("the caller cancelled")));
    execution.start();
    answer(out, answer);
  }

  private StreamObserver<HostEnvelope> executeStream(StreamObserver<PluginEnvelope> out) {
    FnException refusal = unready();
    if (refusal == null) return new ExecuteStream(this, loop, (ServerCallStreamObserver<PluginEnvelope>) out);
    out.onError(statusOf(refusal));
    return new Ignoring<>();
  }

  private CompletableFuture<ShutdownResponse> shutdown(ShutdownRequest request) {
    Duration grace = request.hasGrace() ? Wire.toDuration(request.getGrace()) : DEFAULT_GRACE;
    return end(grace).thenApply(abandoned -> ShutdownResponse.newBuilder().setCallsAbandoned(abandoned).build());
  }

  private FnException unready() {
    return ready == null ? FnException.precondition("this plugin is not initialized: Initialize comes first") : null;
  }

  /** Runs what the author wrote. */
  private <Result> CompletableFuture<Result> author(Callable<Result> work) {
    CompletableFuture<Result> result = new CompletableFuture<>();
    threads.execute(
        () -> {
          try {
            result.complete(work.call());
          } catch (Throwable thrown) {
            result.completeExceptionally(thrown);
          }
        });
    return result;
  }

  private <Response> void answer(StreamObserver<Response> out, CompletableFuture<Response> response) {
    response.whenComplete(
        (message, thrown) ->
            loop.execute(
                () -> {
                  if (((ServerCallStreamObserver<Response>) out).isCancelled()) return;
                  if (thrown != null) {
                    out.onError(statusOf(failureOf(causeOf(thrown))));
                    return;
                  }
                  out.onNext(message);
                  out.onCompleted();
                }));
  }

  private static FnException failureOf(Throwable thrown) {
    if (!(thrown instanceof TimeoutException)) return FnException.of(thrown);
    return new FnException(Code.DEADLINE_EXCEEDED, "", "the function's shutdown took too long");
  }

  private static Throwable causeOf(Throwable thrown) {
    return thrown instanceof CompletionException && thrown.getCause() != null ? thrown.getCause() : thrown;
  }

  /** A failed call as gRPC sends it: code and message in the clear, the rest in the standard trailer. */
  static StatusRuntimeException statusOf(FnException failure) {
    Metadata trailers = new Metadata();
    trailers.put(STATUS_DETAILS, failure.toStatus().toByteArray());
    return Status.fromCodeValue(failure.code().number()).withDescription(failure.getMessage()).asRuntimeException(trailers);
  }

  /** Takes what comes of a stream that was refused. */
  private static final class Ignoring<Message> implements StreamObserver<Message> {
    @Override
    public void onNext(Message message) {}

    @Override
    public void onError(Throwable thrown) {}

    @Override
    public void onCompleted() {}
  }
}
