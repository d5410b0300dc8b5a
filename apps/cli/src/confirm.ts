import { createInterface } from "node:readline/promises"
import { FnError } from "@fn/core"
import type { Io } from "./io.js"

/** Asks whether to `verb` `what` ("delete default/hello"); elsewhere than on a terminal the answer is no. @throws {FnError} NOT_CONFIRMED */
export async function confirm(io: Io, verb: string, what: string): Promise<void> {
  if (io.stdin.isTTY !== true || io.stderr.isTTY !== true)
    throw FnError.of("NOT_CONFIRMED", `this would ${verb} ${what}, and there is no terminal to ask on`)
  io.stderr.write(`${verb.charAt(0).toUpperCase()}${verb.slice(1)} ${what}? [y/N] `)
  const lines = createInterface({ input: io.stdin })
  try {
    const answer = await lines.question("", { signal: io.signal })
    if (!/^y(es)?$/i.test(answer.trim())) throw FnError.of("NOT_CONFIRMED", `nothing was done: you did not want to ${verb} ${what}`)
  } finally {
    lines.close()
  }
}
