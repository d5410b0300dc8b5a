/**
 * The built apps as child processes. Plain JavaScript, because the soak tests run without a build and share it with the tests.
 */
import { createInterface } from "node:readline"
import { fileURLToPath } from "node:url"
import { spawnChild } from "@fn/process"
import { until } from "@fn/testing"

/** Where an app's program is, once it is built. @param {"runtime-service" | "gateway" | "cli"} app */
export function programOf(app) {
  return fileURLToPath(new URL(`../../apps/${app}/dist/main.js`, import.meta.url))
}

/**
 * One line an app logged.
 * @typedef {{ level: string, message: string, [field: string]: unknown }} LogLine
 */

/** A running app. */
export class App {
  /** @param {import("@fn/process").Child} child */
  constructor(child) {
    this.child = child
    /** @type {LogLine[]} What it logged. */
    this.lines = []
    /** @type {string[]} What it wrote to stderr that is no log line. */
    this.noise = []
    createInterface({ input: /** @type {NodeJS.ReadableStream} */ (child.stderr) }).on("line", (line) => this.#take(line))
    child.stdout?.resume()
  }

  get pid() {
    return /** @type {number} */ (this.child.pid)
  }

  /** The first line with this message, once it is there. @param {string} message @returns {Promise<LogLine>} */
  async logged(message) {
    const find = () => this.lines.find((line) => line.message === message)
    await until(() => this.child.exit || find(), { name: `the app to log ${JSON.stringify(message)}`, timeoutMs: 30_000 })
    const line = find()
    if (!line) throw new Error(`the app ended with ${JSON.stringify(this.child.exit)}:\n${this.noise.join("\n")}`)
    return line
  }

  /** SIGKILL to the app alone: what it started has to end by itself. */
  async crash() {
    process.kill(this.pid, "SIGKILL")
    await this.child.exited
  }

  /** SIGTERM: the app drains. */
  async stop() {
    return this.child.terminate({ graceMs: 30_000 })
  }

  /** Ends it, however it is. */
  async dispose() {
    await this.child.terminate({ graceMs: 10_000 })
  }

  /** @param {string} line */
  #take(line) {
    try {
      this.lines.push(JSON.parse(line))
    } catch {
      this.noise.push(line)
    }
  }
}

/**
 * Starts an app; resolves before it is ready.
 * @param {"runtime-service" | "gateway" | "cli"} app
 * @param {readonly string[]} args
 * @param {{ cwd?: string, env?: Readonly<Record<string, string>> }} [options]
 */
export function startApp(app, args, options = {}) {
  const child = spawnChild({
    command: process.execPath,
    args: [programOf(app), ...args],
    env: { PATH: process.env.PATH ?? "", ...options.env },
    ...(options.cwd === undefined ? {} : { cwd: options.cwd }),
  })
  return new App(child)
}
