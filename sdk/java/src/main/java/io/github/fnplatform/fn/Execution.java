package io.github.fnplatform.fn;

import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto.CallContext;
import io.github.fnplatform.fn.wire.io.cloudevents.v1.CloudeventsProto.CloudEvent;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CancellationException;
import java.util.concurrent.CompletableFuture;
import java.util.concurrent.CompletionException;
import java.util.concurrent.CompletionStage;
import java.util.concurrent.Future;

/**
 * One call: started, perhaps cancelled, over. Its handler runs on a thread of the pool; cancelling interrupts it, and asks a stage that it
 * returned to cancel itself.
 */
final class Execution {
  /** What is told at the end: the events that were not sent yet, or why it failed. On the loop. */
  interface Done {
    void accept(List<CloudEvent> events, FnException failure);
  }

  private static final int MAX_KEPT = 100_000;

  private final Ready ready;
  private final CloudEvent sent;
  private final Emission emission;
  private final Done done;
  private final Context context;
  private final List<CloudEvent> kept = new ArrayList<>();
  private Future<?> timer;
  /** The handler's thread while it may be interrupted. */
  private Thread worker;
  private CompletableFuture<?> stage;

  /** Takes an encoded event of a call that streams, and returns when the next one is wanted. */
  interface Emission {
    void send(CloudEvent event) throws InterruptedException;
  }

  /** The function after its setup, and what runs it. */
  record Ready(Fn function, Init init, Loop loop, Handling threads) {
    String source() {
      return "/functions/" + init.function().namespace() + "/" + init.function().name();
    }
  }

  /** Runs work of the author. */
  interface Handling {
    void execute(Runnable work);
  }

  /** {@code timeout} and {@code emission} are null for a call that has none. */
  Execution(Ready ready, CloudEvent sent, CallContext call, Duration timeout, Log log, Emission emission, Done done) {
    this.ready = ready;
    this.sent = sent;
    this.emission = emission;
    this.done = done;
    int attempt = Math.max(1, call.getAttempt());
    Instant deadline = timeout == null ? null : Instant.now().plus(timeout);
    context = new Context(ready.init(), call.getInvocationId(), attempt, Map.copyOf(call.getMetadataMap()), deadline, log);
    if (timeout != null) timer = ready.loop().after(timeout, () -> cancel(CancelledException.timedOut()));
  }

  void start() {
    ready.threads().execute(this::run);
  }

  /** Asks the handler to end. */
  void cancel(CancelledException reason) {
    if (!context.cancel(reason)) return;
    CompletableFuture<?> waiting;
    synchronized (this) {
      if (worker != null) worker.interrupt();
      waiting = stage;
    }
    // What depends on it is the author's, and runs where it is cancelled: not on the loop.
    if (waiting != null) CompletableFuture.runAsync(() -> waiting.cancel(true));
  }

  private void run() {
    Context.enter(context);
    try {
      synchronized (this) {
        worker = Thread.currentThread();
      }
      context.check(); // it may have waited for its thread
      handle();
    } catch (Throwable thrown) {
      end(failure(thrown));
    } finally {
      synchronized (this) {
        worker = null;
      }
      Context.enter(null);
      // An interrupt that came too late must not reach the next call.
      Thread.interrupted();
    }
  }

  private void handle() throws Exception {
    Fn function = ready.function();
    Event event = Event.fromProto(sent);
    if (!Fn.matches(function.accepts(), event.type())) {
      Map<String, ?> details = Map.of("type", event.type(), "accepts", function.accepts());
      String why = "function " + function.name() + " does not take " + event.type();
      throw new FnException(Code.INVALID_ARGUMENT, "TYPE_NOT_ACCEPTED", why, details);
    }
    Object handler = function.handler();
    if (handler instanceof Handlers.Async async) {
      CompletionStage<? extends Iterable<Event>> result = async.handle(event, context);
      if (result == null) throw FnException.badOutput("it returned null instead of a stage");
      await(result);
      return;
    }
    if (handler instanceof Handlers.One one) {
      Event output = one.handle(event, context);
      if (output != null) emit(output);
    } else if (handler instanceof Handlers.Many many) {
      emitAll(many.handle(event, context));
    } else {
      ((Handlers.Stream) handler).handle(event, context, this::emit);
    }
    end(null);
  }

  private void await(CompletionStage<? extends Iterable<Event>> result) {
    CompletableFuture<?> future = result.toCompletableFuture();
    synchronized (this) {
      stage = future;
    }
    if (context.isCancelled()) future.cancel(true);
    // Events may have to wait for the caller, so they are sent by a thread of the pool.
    result.whenComplete((events, thrown) -> ready.threads().execute(() -> finish(events, thrown)));
  }

  private void finish(Iterable<Event> events, Throwable thrown) {
    Context.enter(context);
    try {
      synchronized (this) {
        worker = Thread.currentThread();
      }
      if (thrown != null) throw thrown;
      emitAll(events);
      end(null);
    } catch (Throwable failed) {
      end(failure(failed));
    } finally {
      synchronized (this) {
        worker = null;
      }
      Context.enter(null);
      Thread.interrupted();
    }
  }

  private void emitAll(Iterable<Event> events) throws Exception {
    if (events == null) return;
    Iterator<Event> each = events.iterator();
    try {
      while (each.hasNext()) emit(each.next());
    } finally {
      if (each instanceof AutoCloseable open) open.close();
    }
  }

  private void emit(Event event) throws InterruptedException {
    Fn function = ready.function();
    if (event == null) throw FnException.badOutput("null is no event");
    CloudEvent encoded = event.toProto(ready.source());
    if (!Fn.matches(function.emits(), encoded.getType())) {
      Map<String, ?> details = Map.of("type", encoded.getType(), "emits", function.emits());
      String why = "function " + function.name() + " emitted " + encoded.getType() + ", which it does not declare";
      throw new FnException(Code.FAILED_PRECONDITION, "TYPE_NOT_EMITTED", why, details);
    }
    if (emission != null) {
      emission.send(encoded);
      context.check();
      return;
    }
    if (kept.size() == MAX_KEPT) {
      String why = "the function yields too many events for one answer: take them as a stream";
      throw new FnException(Code.RESOURCE_EXHAUSTED, "OUTPUT_LIMIT", why, Map.of(), false, null);
    }
    kept.add(encoded);
  }

  private FnException failure(Throwable thrown) {
    Throwable cause = thrown;
    while (cause instanceof CompletionException && cause.getCause() != null) cause = cause.getCause();
    if (cause instanceof FnException known) return known;
    // What it makes of being cancelled, whichever way it says so.
    if (context.reason() != null) return context.reason();
    if (cause instanceof CancellationException) return CancelledException.because("the function cancelled itself");
    context.log().error("the function threw", "stack", Stacks.text(cause));
    return FnException.of(cause);
  }

  private void end(FnException failure) {
    ready
        .loop()
        .execute(
            () -> {
              if (timer != null) timer.cancel(false);
              done.accept(failure == null ? kept : List.of(), failure);
            });
  }
}
