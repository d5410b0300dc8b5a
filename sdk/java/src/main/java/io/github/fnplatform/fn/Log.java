package io.github.fnplatform.fn;

import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.Map;

/** Writes lines of the function's log: a constant message, and what varies as names and values. {@code log.info("charged", "order", 7)} */
public final class Log {
  /** Where lines go. */
  interface Writer {
    void write(Level level, String message, Map<String, Object> fields);
  }

  enum Level {
    DEBUG(2),
    INFO(3),
    WARN(4),
    ERROR(5);

    /** Its number in fn.plugin.v1.LogLevel. */
    final int number;

    Level(int number) {
      this.number = number;
    }
  }

  private final Writer writer;
  private final Map<String, Object> fields;

  Log(Writer writer) {
    this(writer, Collections.emptyMap());
  }

  private Log(Writer writer, Map<String, Object> fields) {
    this.writer = writer;
    this.fields = fields;
  }

  /** For whoever looks closely. */
  public void debug(String message, Object... namesAndValues) {
    write(Level.DEBUG, message, namesAndValues);
  }

  /** What happens. */
  public void info(String message, Object... namesAndValues) {
    write(Level.INFO, message, namesAndValues);
  }

  /** What should not, and was dealt with. */
  public void warn(String message, Object... namesAndValues) {
    write(Level.WARN, message, namesAndValues);
  }

  /** What failed. */
  public void error(String message, Object... namesAndValues) {
    write(Level.ERROR, message, namesAndValues);
  }

  /** A log whose lines carry these names and values, too. */
  public Log with(Object... namesAndValues) {
    return new Log(writer, joined(namesAndValues));
  }

  /** Writes a line with these fields, too. */
  void write(Level level, String message, Map<String, Object> more) {
    Map<String, Object> all = new LinkedHashMap<>(fields);
    all.putAll(more);
    writer.write(level, String.valueOf(message), all);
  }

  private void write(Level level, String message, Object[] namesAndValues) {
    writer.write(level, String.valueOf(message), joined(namesAndValues));
  }

  private Map<String, Object> joined(Object... namesAndValues) {
    Map<String, Object> all = new LinkedHashMap<>(fields);
    for (int at = 0; at < namesAndValues.length; at += 2)
      all.put(String.valueOf(namesAndValues[at]), at + 1 < namesAndValues.length ? namesAndValues[at + 1] : null);
    return all;
  }
}
