import { startProgram } from "./program.mjs"

/**
 * A client in a process of its own, so that what it costs is told from what it calls, and no other client's calls have shaped its compiled code.
 * `path` is a module below bench/ that exports `connect(options)` → `{ call(n), close() }`; `call` rejects when the reply is not the right one.
 */
export async function startLoadClient(path, options) {
  const program = await startProgram("measure/load-process.mjs", { path, options })
  const waiting = new Map()
  let lastId = 0
  program.child.process.on("message", ({ id, result, error }) => {
    const { resolve, reject } = waiting.get(id)
    waiting.delete(id)
    error === undefined ? resolve(result) : reject(new Error(error))
  })
  void program.child.exited.then(() => {
    for (const { reject } of waiting.values()) reject(new Error(`the client of bench/${path} ended`))
  })
  const ask = (kind, settings) =>
    new Promise((resolve, reject) => {
      const id = ++lastId
      waiting.set(id, { resolve, reject })
      program.child.process.send({ id, kind, settings })
    })
  return {
    pid: program.pid,
    /** As closedLoop, there. */
    closedLoop: (settings) => ask("closed", settings),
    /** As openLoop, there; ends when `stopOpenLoop` is called, if `durationMs` is left out. */
    openLoop: (settings) => ask("open", settings),
    stopOpenLoop: () => ask("stop"),
    stop: () => program.stop(),
  }
}
