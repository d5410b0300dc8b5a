package io.github.fnplatform.fn;

import java.io.PrintWriter;
import java.io.StringWriter;

final class Stacks {
  private Stacks() {}

  /** An exception with its stack, as it would be printed. */
  static String text(Throwable thrown) {
    StringWriter text = new StringWriter();
    thrown.printStackTrace(new PrintWriter(text));
    return text.toString();
  }
}
