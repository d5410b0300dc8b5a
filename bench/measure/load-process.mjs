/** The program behind startLoadClient: connects, then makes the calls it is told to make. */
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { closedLoop } from "./closed-loop.mjs"
import { openLoop } from "./open-loop.mjs"
import { benchFolder, programArguments, programReady } from "./program.mjs"

const { path, options } = programArguments()
let stopped = false
let client
try {
  const { connect } = await import(pathToFileURL(join(benchFolder, path)).href)
  client = await connect(options)
} catch (error) {
  process.send({ error: error.stack }, () => process.exit(1))
}
if (client) {
  process.on("message", async ({ id, kind, settings }) => {
    try {
      process.send({ id, result: await run(kind, settings) })
    } catch (error) {
      process.send({ id, error: error.message })
    }
  })
  programReady()
}

async function run(kind, settings) {
  switch (kind) {
    case "closed":
      return closedLoop(client.call, settings)
    case "open":
      stopped = false
      return openLoop(client.call, { ...settings, stopped: () => stopped })
    case "stop":
      stopped = true
      return {}
    default:
      throw new Error(`no ${kind}`)
  }
}
