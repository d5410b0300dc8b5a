package io.github.fnplatform.fn;

import java.time.Duration;
import java.util.concurrent.Future;
import java.util.concurrent.RejectedExecutionException;
import java.util.concurrent.ScheduledThreadPoolExecutor;
import java.util.concurrent.ThreadPoolExecutor;
import java.util.concurrent.TimeUnit;

/**
 * The one thread on which calls are taken, counted and answered, and where gRPC tells what comes. What it holds needs no locks, and the frames of
 * one turn go out together. No code of the author runs here.
 */
final class Loop {
  private final ScheduledThreadPoolExecutor thread =
      new ScheduledThreadPoolExecutor(
          1,
          work -> {
            Thread made = new Thread(work, "fn-loop");
            made.setDaemon(true);
            return made;
          },
          // Nothing is left to be told to once the loop has ended.
          new ThreadPoolExecutor.DiscardPolicy());

  Loop() {
    thread.setRemoveOnCancelPolicy(true);
    thread.setExecuteExistingDelayedTasksAfterShutdownPolicy(false);
  }

  /** Runs {@code work} on a later turn. What it throws is a mistake of ours, and ends the process rather than leaving calls without an answer. */
  void execute(Runnable work) {
    thread.execute(() -> guarded(work));
  }

  /** Runs {@code work} after a while, unless it is cancelled. */
  Future<?> after(Duration wait, Runnable work) {
    return thread.schedule(() -> guarded(work), wait.toNanos(), TimeUnit.NANOSECONDS);
  }

  private static void guarded(Runnable work) {
    try {
      work.run();
    } catch (RejectedExecutionException ending) {
      return; // gRPC and the handlers' threads are closed already
    } catch (Throwable mistake) {
      Thread.getDefaultUncaughtExceptionHandler().uncaughtException(Thread.currentThread(), mistake);
    }
  }
}
