package io.github.fnplatform.fn;

import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.PluginEnvelope;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.PluginFrame;
import io.grpc.stub.ServerCallStreamObserver;
import java.util.ArrayDeque;
import java.util.Deque;

/** Gathers frames into as few envelopes as they fit in: that is where the throughput is. On the loop. */
final class Outbox {
  private static final int BATCH_FRAMES = 64;
  private static final int BATCH_BYTES = 64 * 1024;

  private final Loop loop;
  private final ServerCallStreamObserver<PluginEnvelope> out;
  private final Deque<PluginFrame> queue = new ArrayDeque<>();
  private boolean isPlanned;
  private boolean isClosed;

  Outbox(Loop loop, ServerCallStreamObserver<PluginEnvelope> out) {
    this.loop = loop;
    this.out = out;
    out.setOnReadyHandler(this::flush);
  }

  void add(PluginFrame frame) {
    queue.add(frame);
    plan();
  }

  /** Ends the stream when all is sent. */
  void close() {
    isClosed = true;
    plan();
  }

  /** Whatever can end in this turn of the loop goes along. */
  private void plan() {
    if (isPlanned) return;
    isPlanned = true;
    loop.execute(this::flush);
  }

  private void flush() {
    isPlanned = false;
    if (out.isCancelled()) {
      queue.clear();
      return;
    }
    while (!queue.isEmpty() && out.isReady()) out.onNext(take());
    if (isClosed && queue.isEmpty()) {
      isClosed = false;
      out.onCompleted();
    }
  }

  private PluginEnvelope take() {
    PluginEnvelope.Builder envelope = PluginEnvelope.newBuilder();
    int size = 0;
    while (!queue.isEmpty() && envelope.getFramesCount() < BATCH_FRAMES) {
      size += queue.peek().getSerializedSize();
      if (size > BATCH_BYTES && envelope.getFramesCount() > 0) break;
      envelope.addFrames(queue.remove());
    }
    return envelope.build();
  }
}
