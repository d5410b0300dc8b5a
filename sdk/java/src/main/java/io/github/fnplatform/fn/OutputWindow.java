package io.github.fnplatform.fn;

/** What a call that streams may still send. */
final class OutputWindow {
  private long left;

  OutputWindow(int credit) {
    left = Integer.toUnsignedLong(credit);
  }

  synchronized void grant(int count) {
    left += Integer.toUnsignedLong(count);
    notifyAll();
  }

  /** Counts an event that was sent, and returns when the next one may be. Cancelling the call interrupts it. */
  synchronized void spend() throws InterruptedException {
    left--;
    while (left <= 0) wait();
  }
}
