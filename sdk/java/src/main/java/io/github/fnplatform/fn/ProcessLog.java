package io.github.fnplatform.fn;

import java.io.IOException;
import java.io.OutputStream;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.LinkedHashMap;
import java.util.Locale;
import java.util.Map;

/** hclog's JSON on the real stderr, one write a line. A host that is gone cannot be told anything, so that is not an error. */
final class ProcessLog implements Log.Writer {
  private final String name;
  private final OutputStream stderr;

  ProcessLog(String name, OutputStream stderr) {
    this.name = name;
    this.stderr = stderr;
  }

  @Override
  public synchronized void write(Log.Level level, String message, Map<String, Object> fields) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("@level", level.name().toLowerCase(Locale.ROOT));
    line.put("@message", message);
    line.put("@module", name);
    line.put("@timestamp", Instant.now().toString());
    fields.forEach((key, value) -> line.put(key.startsWith("@") ? "_" + key : key, plain(value)));
    try {
      stderr.write((Json.write(line) + "\n").getBytes(StandardCharsets.UTF_8));
      stderr.flush();
    } catch (IOException gone) {
      return;
    }
  }

  private static Object plain(Object value) {
    boolean isPlain = value == null || value instanceof Boolean || value instanceof Map || value instanceof Iterable;
    return isPlain || value instanceof Number number && Double.isFinite(number.doubleValue()) ? value : String.valueOf(value);
  }
}
