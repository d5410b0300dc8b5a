package io.github.fnplatform.fn;

/** What {@link Context#check} and {@link Context#sleep} throw when nobody wants the result any more: let it pass. */
public final class CancelledException extends FnException {
  private static final long serialVersionUID = 1L;

  private CancelledException(Code code, String reason, String message) {
    super(code, reason, message);
  }

  static CancelledException because(String why) {
    return new CancelledException(Code.CANCELLED, "CANCELLED", why);
  }

  static CancelledException timedOut() {
    return new CancelledException(Code.DEADLINE_EXCEEDED, "FUNCTION_TIMEOUT", "the time of this execution is over");
  }
}
