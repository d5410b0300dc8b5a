package io.github.fnplatform.fn;

import java.time.Duration;
import java.time.Instant;
import java.util.Map;
import java.util.Optional;
import java.util.concurrent.CompletableFuture;

/** One execution. */
public final class Context {
  private static final ThreadLocal<Context> CURRENT = new ThreadLocal<>();

  private final Init init;
  private final String invocationId;
  private final int attempt;
  private final Map<String, String> metadata;
  private final Instant deadline;
  private final Log log;
  private final CompletableFuture<CancelledException> cancelled = new CompletableFuture<>();

  Context(Init init, String invocationId, int attempt, Map<String, String> metadata, Instant deadline, Log log) {
    this.init = init;
    this.invocationId = invocationId;
    this.attempt = attempt;
    this.metadata = metadata;
    this.deadline = deadline;
    this.log = log;
  }

  public FunctionIdentity function() {
    return init.function();
  }

  /** The function's configuration: maps, lists, texts, longs, doubles and booleans. */
  public Map<String, Object> config() {
    return init.config();
  }

  /** The function's configuration as a record or class; for what is asked often, keep what setup makes of it. */
  public <T> T config(Class<T> type) {
    return init.config(type);
  }

  public Map<String, String> secrets() {
    return init.secrets();
  }

  public String invocationId() {
    return invocationId;
  }

  /** 1 for the first. */
  public int attempt() {
    return attempt;
  }

  public Map<String, String> metadata() {
    return metadata;
  }

  public Optional<Instant> deadline() {
    return Optional.ofNullable(deadline);
  }

  /** Time until the deadline, at least zero; empty without one. */
  public Optional<Duration> timeLeft() {
    return deadline().map(end -> Duration.between(Instant.now(), end)).map(left -> left.isNegative() ? Duration.ZERO : left);
  }

  /** Its lines carry the invocation. */
  public Log log() {
    return log;
  }

  /** Whether nobody wants the result any more: the caller gave up, or the time is over. The handler's thread is interrupted, too. */
  public boolean isCancelled() {
    return cancelled.isDone();
  }

  /** Completes when nobody wants the result any more; for handlers that wait for other things than their thread. */
  public CompletableFuture<Void> whenCancelled() {
    return cancelled.thenAcceptAsync(reason -> {}); // what waits for it is the author's: not on the loop
  }

  /**
   * For long loops.
   *
   * @throws CancelledException once nobody wants the result
   */
  public void check() {
    CancelledException reason = reason();
    if (reason != null) throw reason;
  }

  /**
   * Waits like {@link Thread#sleep}.
   *
   * @throws CancelledException as soon as nobody wants the result
   */
  public void sleep(Duration duration) throws InterruptedException {
    check();
    try {
      Thread.sleep(duration.toMillis());
    } catch (InterruptedException interrupted) {
      check();
      throw interrupted;
    }
  }

  /** The execution that this thread works for. */
  static Context current() {
    return CURRENT.get();
  }

  static void enter(Context context) {
    if (context == null) CURRENT.remove();
    else CURRENT.set(context);
  }

  /** Whether it was not cancelled before. */
  boolean cancel(CancelledException reason) {
    return cancelled.complete(reason);
  }

  CancelledException reason() {
    return cancelled.getNow(null);
  }
}
