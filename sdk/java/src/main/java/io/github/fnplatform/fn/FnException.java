package io.github.fnplatform.fn;

import com.google.protobuf.Any;
import io.github.fnplatform.fn.wire.fn.plugin.v1.FunctionProto;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;

/** A failure with all that its caller may know. Any other exception of a handler is one with code {@link Code#UNKNOWN} and its text. */
public class FnException extends RuntimeException {
  private static final long serialVersionUID = 1L;

  private final Code code;
  private final String reason;
  private final transient Map<String, Object> details;
  private final boolean retryable;
  private final Duration retryAfter;

  /** {@code reason} is a stable UPPER_SNAKE constant that callers may branch on; {@code details} travel to the caller as JSON. */
  public FnException(Code code, String reason, String message, Map<String, ?> details) {
    this(code, reason, message, details, code.isRetryable(), null);
  }

  /** A failure without details. */
  public FnException(Code code, String reason, String message) {
    this(code, reason, message, Map.of());
  }

  FnException(Code code, String reason, String message, Map<String, ?> details, boolean retryable, Duration retryAfter) {
    super(message == null ? String.valueOf(reason) : message);
    this.code = Objects.requireNonNull(code, "code");
    this.reason = reason == null ? "" : reason;
    // Plain from here on, whatever the author put in: what it throws when it is read is thrown here.
    this.details = details == null ? Map.of() : Wire.toMap(Wire.toStruct(details));
    this.retryable = retryable;
    this.retryAfter = retryAfter;
  }

  /** A failure that no retry can mend. */
  public static FnException terminal(String reason, String message) {
    return terminal(reason, message, Map.of());
  }

  /** A failure that no retry can mend, with details for the caller. */
  public static FnException terminal(String reason, String message, Map<String, ?> details) {
    return new FnException(Code.FAILED_PRECONDITION, reason, message, details, false, null);
  }

  /** A failure that is worth repeating after a while. */
  public static FnException retryAfter(Duration wait, String message) {
    return new FnException(Code.UNAVAILABLE, "RETRY_AFTER", message, Map.of(), true, wait);
  }

  /** What setup throws for a wrong configuration; {@code pointer} is the JSON Pointer of the key, such as {@code /bank/url}. */
  public static FnException invalidConfig(String pointer, String message) {
    Map<String, ?> details = Map.of("issues", List.of(Map.of("pointer", pointer, "message", message)));
    return new FnException(Code.INVALID_ARGUMENT, "INVALID_CONFIG", "invalid config: " + pointer + ": " + message, details);
  }

  public Code code() {
    return code;
  }

  public String reason() {
    return reason;
  }

  public Map<String, Object> details() {
    return details;
  }

  static FnException invalidEvent(String why, Map<String, ?> details) {
    return new FnException(Code.INVALID_ARGUMENT, "INVALID_EVENT", "invalid event: " + why, details);
  }

  static FnException badOutput(String why) {
    return new FnException(Code.FAILED_PRECONDITION, "BAD_OUTPUT", "the function must return events or nothing, but " + why);
  }

  static FnException draining() {
    return new FnException(Code.UNAVAILABLE, "HOST_DRAINING", "this plugin is shutting down");
  }

  static FnException precondition(String why) {
    return new FnException(Code.FAILED_PRECONDITION, "", why);
  }

  /** What the author's code threw, as a failure with a code. */
  static FnException of(Throwable thrown) {
    if (thrown instanceof FnException known) return known;
    String text = thrown.getMessage();
    return new FnException(Code.UNKNOWN, "FUNCTION_THREW", text == null || text.isEmpty() ? thrown.getClass().getSimpleName() : text);
  }

  /** Number and text, and the rest as a Struct among the details. docs/plugin-protocol.md#errors */
  FunctionProto.Status toStatus() {
    Map<String, Object> fields = new LinkedHashMap<>();
    fields.put("retryable", retryable);
    if (!reason.isEmpty()) fields.put("reason", reason);
    if (!details.isEmpty()) fields.put("details", details);
    FunctionProto.Status.Builder status =
        FunctionProto.Status.newBuilder().setCode(code.number()).setMessage(getMessage()).setRetryable(retryable);
    if (retryAfter != null) {
      fields.put("retryAfterMs", retryAfter.toMillis());
      status.setRetryAfter(Wire.toProto(retryAfter));
    }
    Any detail =
        Any.newBuilder()
            .setTypeUrl("type.googleapis.com/google.protobuf.Struct")
            .setValue(Wire.toStruct(fields).toByteString())
            .build();
    return status.addDetails(detail).build();
  }
}
