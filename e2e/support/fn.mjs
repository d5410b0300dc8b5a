/** The built `fn`, as authors run it. */
import { text } from "node:stream/consumers"
import { spawnChild } from "@fn/process"
import { programOf } from "./app.mjs"

/**
 * Runs it and resolves to the lines of JSON that it printed. Rejects with all it said if it fails.
 * @param {readonly string[]} args
 * @param {Readonly<Record<string, string>>} env beside that of this process, of which no FN_… variable reaches it
 * @returns {Promise<Record<string, unknown>[]>}
 */
export async function fn(args, env) {
  const own = Object.entries(process.env).flatMap(([name, value]) =>
    value === undefined || name.startsWith("FN_") ? [] : [/** @type {const} */ ([name, value])],
  )
  const child = spawnChild({
    command: process.execPath,
    args: [programOf("cli"), ...args, "--json"],
    env: { ...Object.fromEntries(own), NO_COLOR: "1", ...env },
  })
  const said = (/** @type {unknown} */ pipe) => text(/** @type {AsyncIterable<Buffer>} */ (pipe))
  const [exit, stdout, stderr] = await Promise.all([child.exited, said(child.stdout), said(child.stderr)])
  if (exit.code !== 0) throw new Error(`fn ${args.join(" ")} ended with ${exit.code ?? exit.signal}:\n${stderr}${stdout}`)
  return stdout
    .split("\n")
    .filter((line) => line !== "")
    .map((line) => JSON.parse(line))
}

/** What `fn deploy --json` says of a folder. @typedef {{ digest?: string, unchanged: boolean, ref: string }} Deployed */

/**
 * Builds and deploys the function in a folder. Rejects unless it is accepted.
 * @param {string} dir
 * @param {{ natsUrl: string, env?: Readonly<Record<string, string>> }} options
 * @returns {Promise<Deployed>}
 */
export async function deployFolder(dir, { natsUrl, env = {} }) {
  const [deployed] = await fn(["deploy", dir, "--nats-url", natsUrl], env)
  return /** @type {Deployed} */ (/** @type {unknown} */ (deployed))
}
