package io.github.fnplatform.fn;

import com.google.protobuf.Struct;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallCancel;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallOutput;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallResult;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallStart;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.HostEnvelope;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.HostFrame;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.LogLevel;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.LogRecord;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.PluginEnvelope;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.PluginFrame;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.StreamAccepted;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.StreamDrained;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent;
import io.grpc.stub.ServerCallStreamObserver;
import io.grpc.stub.StreamObserver;
import java.time.Duration;
import java.time.Instant;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * One ExecuteStream: many calls on one HTTP/2 stream. Exactly one result ends each call; frames about calls that are over are ignored, as are
 * frames of a newer protocol. All of it on the loop.
 */
final class ExecuteStream implements StreamObserver<HostEnvelope> {
  private final FunctionService service;
  private final Loop loop;
  private final ServerCallStreamObserver<PluginEnvelope> out;
  private final Outbox outbox;
  private final Map<Long, Call> open = new HashMap<>();
  private int logFloor;
  private boolean isAccepted;
  private boolean isDraining;
  private boolean isHalfClosed;
  private long completed;

  private record Call(Execution execution, OutputWindow window) {}

  ExecuteStream(FunctionService service, Loop loop, ServerCallStreamObserver<PluginEnvelope> out) {
    this.service = service;
    this.loop = loop;
    this.out = out;
    outbox = new Outbox(loop, out);
    out.setOnCancelHandler(this::abandon);
  }

  @Override
  public void onNext(HostEnvelope envelope) {
    for (HostFrame frame : envelope.getFramesList()) {
      if (isAccepted) receive(frame);
      else if (!accept(frame)) return;
    }
  }

  @Override
  public void onError(Throwable gone) {
    abandon();
  }

  /** Half-closed: the host sends no more, and waits for what runs. */
  @Override
  public void onCompleted() {
    isHalfClosed = true;
    settle();
  }

  private boolean accept(HostFrame first) {
    if (first.getFrameCase() != HostFrame.FrameCase.OPEN) {
      out.onError(FunctionService.statusOf(FnException.precondition("the first frame of an ExecuteStream must be open")));
      return false;
    }
    isAccepted = true;
    logFloor = first.getOpen().getLogLevelValue();
    outbox.add(PluginFrame.newBuilder().setAccepted(StreamAccepted.newBuilder().setCallCredit(service.callCredit())).build());
    return true;
  }

  private void receive(HostFrame frame) {
    Call call = open.get(frame.getCallId());
    switch (frame.getFrameCase()) {
      case START -> start(frame.getCallId(), frame.getStart());
      case CANCEL -> {
        if (call != null) call.execution.cancel(reasonOf(frame.getCancel().getReason()));
      }
      case CREDIT -> {
        // That of the whole stream is for plugins that send output unasked.
        if (call != null && call.window != null) call.window.grant(frame.getCredit().getOutputEvents());
      }
      case DRAIN -> {
        isDraining = true;
        settle();
      }
      default -> {}
    }
  }

  private void start(long id, CallStart start) {
    if (id == 0 || open.containsKey(id)) return;
    FnException refusal = refusal();
    if (refusal != null) {
      result(id, List.of(), refusal);
      return;
    }
    OutputWindow window = start.getOutputWindow() == 0 ? null : new OutputWindow(start.getOutputWindow());
    Duration timeout = start.hasTimeout() ? Wire.toDuration(start.getTimeout()) : null;
    Log log =
        new Log(
            (level, message, fields) -> {
              Struct attributes = Wire.toStruct(fields); // on the author's thread: it asks the author's objects for their text
              loop.execute(() -> log(id, level, message, attributes, start));
            });
    Execution execution =
        service.execute(
            start.getEvent(), start.getContext(), timeout, log, emission(id, window), (events, failure) -> end(id, events, failure));
    open.put(id, new Call(execution, window));
    execution.start();
  }

  private FnException refusal() {
    if (isDraining || service.isDraining()) return FnException.draining();
    if (open.size() < service.callCredit()) return null;
    return new FnException(Code.RESOURCE_EXHAUSTED, "QUEUE_FULL", "more calls at once than credit was given for");
  }

  private Execution.Emission emission(long id, OutputWindow window) {
    if (window == null) return null;
    return event -> {
      PluginFrame frame = PluginFrame.newBuilder().setCallId(id).setOutput(CallOutput.newBuilder().addEvents(event)).build();
      loop.execute(() -> outbox.add(frame));
      window.spend();
    };
  }

  private void end(long id, List<CloudEvent> events, FnException failure) {
    open.remove(id);
    completed++;
    result(id, events, failure);
    settle();
  }

  private void result(long id, List<CloudEvent> events, FnException failure) {
    CallResult.Builder result = CallResult.newBuilder();
    if (failure == null) result.addAllEvents(events);
    else result.setStatus(failure.toStatus());
    outbox.add(PluginFrame.newBuilder().setCallId(id).setResult(result).build());
  }

  private void settle() {
    if (!open.isEmpty()) return;
    if (isDraining && !isHalfClosed)
      outbox.add(PluginFrame.newBuilder().setDrained(StreamDrained.newBuilder().setCallsCompleted(completed)).build());
    if (isHalfClosed) outbox.close();
  }

  private void abandon() {
    for (Call call : List.copyOf(open.values())) call.execution.cancel(CancelledException.because("the host is gone"));
  }

  /** Lines go with their call; those that come after its end, to the log of the process. */
  private void log(long id, Log.Level level, String message, Struct attributes, CallStart start) {
    if (!open.containsKey(id)) {
      service.processLog(start.getContext()).write(level, message, Wire.toMap(attributes));
      return;
    }
    if (level.number < logFloor || logFloor == LogLevel.LOG_LEVEL_OFF_VALUE) return;
    LogRecord.Builder line =
        LogRecord.newBuilder().setLevelValue(level.number).setTime(Wire.toProto(Instant.now())).setMessage(message);
    if (attributes.getFieldsCount() > 0) line.setAttributes(attributes);
    outbox.add(PluginFrame.newBuilder().setCallId(id).setLog(line).build());
  }

  private static CancelledException reasonOf(CallCancel.Reason reason) {
    return switch (reason) {
      case REASON_DEADLINE -> CancelledException.timedOut();
      case REASON_HOST_SHUTDOWN -> CancelledException.because("the host is shutting down");
      default -> CancelledException.because("the caller cancelled");
    };
  }
}
