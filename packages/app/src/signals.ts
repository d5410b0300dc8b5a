import type { FnError, Logger } from "@fn/core"

/** What {@link runUntilStopped} keeps running. */
export interface Stoppable {
  /** Refuses new work, finishes what it has, closes. */
  drain(): Promise<void>
  /** Settles when it ended, with an error when it was not asked to. */
  readonly closed: Promise<FnError | undefined>
}

/**
 * Runs until SIGINT or SIGTERM, then drains; a second signal exits at once. Returns the exit code: 0 after a drain, 4 when the app ended
 * on its own (the platform is gone), 130 after a second signal.
 */
export async function runUntilStopped(app: Stoppable, logger: Logger): Promise<number> {
  let stop: (signal: NodeJS.Signals) => void = () => undefined
  const signalled = new Promise<NodeJS.Signals>((resolve) => {
    stop = resolve
  })
  let asked = false
  const onSignal = (signal: NodeJS.Signals): void => {
    if (asked) process.exit(130)
    asked = true
    stop(signal)
  }
  process.on("SIGINT", onSignal)
  process.on("SIGTERM", onSignal)
  try {
    const first = await Promise.race([signalled, app.closed.then((error) => ({ error }))])
    if (typeof first === "object") {
      logger.error("stopped on its own", { reason: first.error?.reason ?? "closed", error: first.error?.message ?? "closed" })
      return 4
    }
    logger.info("draining", { signal: first })
    await app.drain()
    return 0
  } finally {
    process.off("SIGINT", onSignal)
    process.off("SIGTERM", onSignal)
  }
}
