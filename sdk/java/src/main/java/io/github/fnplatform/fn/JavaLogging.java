package io.github.fnplatform.fn;

import java.util.Map;
import java.util.logging.Handler;
import java.util.logging.Level;
import java.util.logging.LogManager;
import java.util.logging.LogRecord;
import java.util.logging.Logger;
import java.util.logging.SimpleFormatter;

/** java.util.logging: its lines reach the function's log with their level, and the call that wrote them. */
final class JavaLogging extends Handler {
  private static final SimpleFormatter FORMATTER = new SimpleFormatter();

  private final Log processLog;

  private JavaLogging(Log processLog) {
    this.processLog = processLog;
  }

  /** Takes it over, unless the author configured it. */
  static void take(Log processLog) {
    if (System.getProperty("java.util.logging.config.file") != null || System.getProperty("java.util.logging.config.class") != null) return;
    LogManager.getLogManager().reset();
    Logger root = Logger.getLogger("");
    root.addHandler(new JavaLogging(processLog));
    root.setLevel(Level.INFO);
  }

  @Override
  public void publish(LogRecord line) {
    Context call = Context.current();
    Log log = (call == null ? processLog : call.log()).with("logger", String.valueOf(line.getLoggerName()));
    if (line.getThrown() != null) log = log.with("stack", Stacks.text(line.getThrown()));
    log.write(levelOf(line.getLevel().intValue()), FORMATTER.formatMessage(line), Map.of());
  }

  @Override
  public void flush() {}

  @Override
  public void close() {}

  private static Log.Level levelOf(int number) {
    if (number >= Level.SEVERE.intValue()) return Log.Level.ERROR;
    if (number >= Level.WARNING.intValue()) return Log.Level.WARN;
    return number >= Level.INFO.intValue() ? Log.Level.INFO : Log.Level.DEBUG;
  }
}
