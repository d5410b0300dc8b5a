/** How a process ended. */
export interface ExitInfo {
  /** Exit code, unless a signal ended it. */
  readonly code: number | null
  readonly signal: NodeJS.Signals | null
  /** The process could not be started at all. */
  readonly spawnError?: Error
}

/** `exit code 3`, `signal SIGKILL` or why it did not start, for error messages. */
export function describeExit(exit: ExitInfo): string {
  if (exit.spawnError) return exit.spawnError.message
  return exit.signal ? `signal ${exit.signal}` : `exit code ${exit.code}`
}
