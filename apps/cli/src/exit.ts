import type { ExitCode } from "./exit-code.js"

/** Ends the command with an exit code, everything being said already. */
export class Exit extends Error {
  readonly code: ExitCode

  constructor(code: ExitCode) {
    super(`exit ${code}`)
    this.code = code
  }
}
