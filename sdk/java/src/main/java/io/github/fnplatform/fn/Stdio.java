package io.github.fnplatform.fn;

import com.google.protobuf.ByteString;
import io.github.fnplatform.fn.wire.plugin.GrpcStdioProto.StdioData;
import io.grpc.stub.ServerCallStreamObserver;
import java.io.BufferedOutputStream;
import java.io.OutputStream;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayDeque;
import java.util.Deque;

/** What the program prints, on its way to the host. Kept until the host reads; beyond a megabyte the oldest goes, so printing never blocks. */
final class Stdio {
  private static final int RING_BYTES = 1024 * 1024;
  private static final int CHUNK_BYTES = 32 * 1024;

  private final Loop loop;
  private final Deque<StdioData> ring = new ArrayDeque<>();
  private int size;
  private boolean isPlanned;
  private boolean isEnded;
  private ServerCallStreamObserver<StdioData> out;

  Stdio(Loop loop) {
    this.loop = loop;
  }

  /** Stands in for {@link System#out} or {@link System#err}. */
  PrintStream printStream(StdioData.Channel channel) {
    OutputStream pushing =
        new OutputStream() {
          @Override
          public void write(int one) {
            push(channel, new byte[] {(byte) one}, 0, 1);
          }

          @Override
          public void write(byte[] bytes, int from, int count) {
            push(channel, bytes, from, count);
          }
        };
    return new PrintStream(new BufferedOutputStream(pushing), true, StandardCharsets.UTF_8);
  }

  /** Sends it to the host's stream from now on. On the loop. */
  void stream(ServerCallStreamObserver<StdioData> stream) {
    synchronized (this) {
      out = stream;
    }
    stream.setOnReadyHandler(this::flush);
    flush();
  }

  /** Ends the host's stream once all is sent. */
  void end() {
    System.out.flush();
    System.err.flush();
    synchronized (this) {
      isEnded = true;
    }
    flush();
  }

  private synchronized void push(StdioData.Channel channel, byte[] bytes, int from, int count) {
    for (int at = from; at < from + count; at += CHUNK_BYTES) {
      ByteString data = ByteString.copyFrom(bytes, at, Math.min(CHUNK_BYTES, from + count - at));
      ring.add(StdioData.newBuilder().setChannel(channel).setData(data).build());
      size += data.size();
    }
    while (size > RING_BYTES) size -= ring.remove().getData().size();
    if (isPlanned) return;
    isPlanned = true;
    loop.execute(this::flush);
  }

  private synchronized void flush() {
    isPlanned = false;
    if (out == null || out.isCancelled()) return;
    while (!ring.isEmpty() && out.isReady()) {
      StdioData data = ring.remove();
      size -= data.getData().size();
      out.onNext(data);
    }
    if (!isEnded || !ring.isEmpty()) return;
    out.onCompleted();
    out = null;
  }
}
