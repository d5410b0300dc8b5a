import { spawn } from "node:child_process"
import { once } from "node:events"
import { createWriteStream, mkdirSync, readFileSync } from "node:fs"
import { delimiter, dirname, join } from "node:path"
import { root } from "./paths.mjs"

/** The environment of tools run in `cwd`: its own and the root's binaries come first, so that turbo finds pnpm on a machine without it. */
function toolEnv(cwd, extra) {
  const path = [cwd, root]
    .map((folder) => join(folder, "node_modules", ".bin"))
    .concat(process.env.PATH ?? "")
    .join(delimiter)
  return { ...process.env, TURBO_TELEMETRY_DISABLED: "1", DO_NOT_TRACK: "1", ...extra, PATH: path }
}

/**
 * Runs a command to its end, adding everything it prints to `logFile`. Resolves with its exit code (128 + n for a signal) and its output;
 * never rejects. A command that cannot be started has code 127.
 */
export async function runLogged(command, args, { logFile, cwd = root, env = {} }) {
  mkdirSync(dirname(logFile), { recursive: true })
  const log = createWriteStream(logFile, { flags: "a" })
  log.write(`$ ${[command, ...args].join(" ")}\n`)
  const chunks = []
  const child = spawn(command, args, { cwd, env: toolEnv(cwd, env), stdio: ["ignore", "pipe", "pipe"] })
  for (const stream of [child.stdout, child.stderr]) {
    stream.on("data", (chunk) => {
      chunks.push(chunk)
      log.write(chunk)
    })
  }
  const code = await exitCode(child)
  log.end(`exit ${code}\n`)
  await once(log, "finish")
  return { code, output: Buffer.concat(chunks).toString("utf8") }
}

/** Runs a command that prints to our own streams; resolves with its exit code. `onOutput` sees what it prints, line breaks included. */
export async function runShown(command, args, { cwd = root, env = {}, onOutput } = {}) {
  const stdio = onOutput ? ["inherit", "pipe", "pipe"] : "inherit"
  const child = spawn(command, args, { cwd, env: toolEnv(cwd, env), stdio })
  const tee = (from, to) =>
    from?.on("data", (chunk) => {
      to.write(chunk)
      onOutput(chunk.toString("utf8"))
    })
  tee(child.stdout, process.stdout)
  tee(child.stderr, process.stderr)
  return exitCode(child)
}

/** The last `count` lines of a file. */
export function tail(file, count) {
  return readFileSync(file, "utf8").trimEnd().split("\n").slice(-count).join("\n")
}

/** `4.2 s` or `3 min 12 s`. */
export function formatDuration(ms) {
  const seconds = ms / 1000
  if (seconds < 60) return `${seconds.toFixed(1)} s`
  return `${Math.floor(seconds / 60)} min ${Math.round(seconds % 60)} s`
}

function exitCode(child) {
  return new Promise((resolve) => {
    child.once("error", (error) => {
      process.stderr.write(`${error.message}\n`)
      resolve(127)
    })
    // `close`, not `exit`: the streams have been read to their end then.
    child.once("close", (code, signal) => resolve(code ?? (signal === "SIGINT" ? 130 : 137)))
  })
}
