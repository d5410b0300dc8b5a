import { once } from "node:events"
import { join } from "node:path"
import { describeExit, spawnChild } from "@fn/process"

/** Root of bench/, which paths of programs and clients start from. */
export const benchFolder = join(import.meta.dirname, "..")

/**
 * Starts one of our own programs in a process of its own, which dies with this one. Resolves with the process and the first message it sent.
 * Its arguments come as JSON, as one argument: see {@link programArguments}.
 */
export async function startProgram(path, args = {}) {
  const child = spawnChild({
    command: process.execPath,
    args: [join(benchFolder, path), JSON.stringify(args)],
    // As a peer is run in production: Express, for one, is slower elsewhere.
    env: { PATH: process.env.PATH ?? "", NODE_ENV: "production" },
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  })
  const early = child.exited.then((exit) => {
    throw new Error(`bench/${path} ended: ${describeExit(exit)}`)
  })
  const [message] = await Promise.race([once(child.process, "message"), early])
  early.catch(() => {}) // from here on its end is its owner's business
  if (message.error) throw new Error(`bench/${path}: ${message.error}`)
  return { pid: child.pid, child, message, stop: () => child.terminate() }
}

/** Inside such a program: what it was given. */
export function programArguments() {
  return JSON.parse(process.argv[2])
}

/** Inside such a program: it is ready. `message` goes to its owner, with whom it ends. */
export function programReady(message = {}) {
  process.on("disconnect", () => process.exit(0))
  process.send(message)
}
