package io.github.fnplatform.fn;

import java.util.List;

/**
 * A function: a handler and what it says of itself. End with one of the {@code serve…} methods, in {@code main}:
 *
 * <pre>{@code
 * Fn.named("hello").emits("greeted").serve((event, context) -> Event.of("greeted", new Greeting("Hello")));
 * }</pre>
 *
 * The program is a plugin that speaks go-plugin and serves {@code fn.plugin.v1.Function}; the platform starts it, or any other go-plugin host.
 */
public final class Fn {
  private final String name;
  private String version = "0.0.0";
  private String description = "";
  private List<String> accepts = List.of();
  private List<String> emits = List.of();
  private String configSchema = "";
  private int maxConcurrency;
  private Handlers.Setup onSetup = init -> {};
  private Handlers.Shutdown onShutdown = () -> {};
  private Object handler;

  private Fn(String name) {
    this.name = name;
  }

  /** A function of this name; its definition may give it another one. */
  public static Fn named(String name) {
    return new Fn(name);
  }

  public Fn version(String semver) {
    version = semver;
    return this;
  }

  public Fn description(String text) {
    description = text;
    return this;
  }

  /** The event types it takes, a last {@code *} standing for any ending; none means any. */
  public Fn accepts(String... types) {
    accepts = List.of(types);
    return this;
  }

  /** The event types it gives, a last {@code *} standing for any ending; none means any. */
  public Fn emits(String... types) {
    emits = List.of(types);
    return this;
  }

  /** JSON Schema of the configuration. */
  public Fn configSchema(String json) {
    configSchema = json;
    return this;
  }

  /** Calls at once; 0 leaves it to the host. Up to 32 handlers run at once, the others wait for a thread. */
  public Fn maxConcurrency(int calls) {
    maxConcurrency = calls;
    return this;
  }

  /** Runs once, before the first event; what it throws keeps the function from starting. */
  public Fn setup(Handlers.Setup setup) {
    onSetup = setup;
    return this;
  }

  /** Runs once, when no call is left. */
  public Fn shutdown(Handlers.Shutdown shutdown) {
    onShutdown = shutdown;
    return this;
  }

  /** Serves a handler that gives one event or null, until the host ends the process. */
  public void serve(Handlers.One handler) {
    serveAny(handler);
  }

  /** Serves a handler that gives any number of events. */
  public void serveMany(Handlers.Many handler) {
    serveAny(handler);
  }

  /** Serves a handler that gives its events later. */
  public void serveAsync(Handlers.Async handler) {
    serveAny(handler);
  }

  /** Serves a handler that emits its events as it goes. */
  public void serveStream(Handlers.Stream handler) {
    serveAny(handler);
  }

  private void serveAny(Object served) {
    handler = served;
    Serving.run(this);
  }

  String name() {
    return name;
  }

  String version() {
    return version;
  }

  String description() {
    return description;
  }

  List<String> accepts() {
    return accepts;
  }

  List<String> emits() {
    return emits;
  }

  String configSchema() {
    return configSchema;
  }

  int maxConcurrency() {
    return maxConcurrency;
  }

  Handlers.Setup onSetup() {
    return onSetup;
  }

  Handlers.Shutdown onShutdown() {
    return onShutdown;
  }

  Object handler() {
    return handler;
  }

  /** Whether a type is among the patterns. */
  static boolean matches(List<String> patterns, String type) {
    return patterns.isEmpty()
        || patterns.stream()
            .anyMatch(pattern -> pattern.endsWith("*") ? type.startsWith(pattern.substring(0, pattern.length() - 1)) : pattern.equals(type));
  }
}
