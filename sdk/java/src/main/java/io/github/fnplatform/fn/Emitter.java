package io.github.fnplatform.fn;

/** Takes the events of a call that streams. */
@FunctionalInterface
public interface Emitter {
  /**
   * Gives an event to the caller and returns when the next one is wanted. Only from the handler's own thread.
   *
   * @throws CancelledException once nobody wants the result
   */
  void emit(Event event) throws InterruptedException;
}
