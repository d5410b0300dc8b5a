package io.github.fnplatform.fn;

import java.util.concurrent.CompletionStage;

/** The kinds of handlers there are. Whatever they throw fails the call. */
public final class Handlers {
  private Handlers() {}

  /** Gives one event, or null for none. */
  @FunctionalInterface
  public interface One {
    Event handle(Event event, Context context) throws Exception;
  }

  /** Gives any number of events; one after the other where the Iterable makes them so. Null is none. */
  @FunctionalInterface
  public interface Many {
    Iterable<Event> handle(Event event, Context context) throws Exception;
  }

  /** Gives its events later, and keeps no thread until then. */
  @FunctionalInterface
  public interface Async {
    CompletionStage<? extends Iterable<Event>> handle(Event event, Context context) throws Exception;
  }

  /** Emits its events as it goes. */
  @FunctionalInterface
  public interface Stream {
    void handle(Event event, Context context, Emitter out) throws Exception;
  }

  /** Runs once, before the first event; what it throws keeps the function from starting. */
  @FunctionalInterface
  public interface Setup {
    void run(Init init) throws Exception;
  }

  /** Runs once, when no call is left. */
  @FunctionalInterface
  public interface Shutdown {
    void run() throws Exception;
  }
}
