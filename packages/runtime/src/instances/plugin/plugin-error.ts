/** What a plugin's failures mean. */
import { FnError, messageOf } from "@fn/core"
import { decodeStatus, errorFromStatus, STATUS_DETAILS_TRAILER } from "@fn/core/plugin-wire"
import type { PluginProcess } from "@fn/go-plugin"
import { describeExit, type ExitInfo } from "@fn/process"
import { plugin } from "@fn/proto"
import { type ServiceError, status } from "@grpc/grpc-js"
import { within } from "./within.js"

/** The end of stderr that travels with a crash. */
const TAIL_CHARS = 2_000

/** A broken connection is seen before the exit that caused it; this long after at most. */
export const EXIT_LAG_MS = 250

/** The error of a failed call: what the plugin said of it, else what gRPC did; a crash when the process ended. */
export async function callError(process: PluginProcess, thrown: unknown): Promise<FnError> {
  const sent = sentStatus(thrown)
  if (sent) return errorFromStatus(sent)
  const { code } = thrown as Partial<ServiceError>
  if (code !== status.UNAVAILABLE) return errorFromRpc(thrown)
  const exit = await within(EXIT_LAG_MS, process.exited)
  return exit ? crashError(process, exit) : errorFromRpc(thrown)
}

/** A failed call as our error. */
function errorFromRpc(thrown: unknown): FnError {
  const { code, details } = thrown as Partial<ServiceError>
  if (FnError.is(thrown) || typeof code !== "number") return FnError.from(thrown, "unavailable")
  return errorFromStatus(sentStatus(thrown) ?? { code, message: details || messageOf(thrown), details: [], retryable: false })
}

/** What a plugin of ours sent beside the gRPC status. */
function sentStatus(thrown: unknown): plugin.Status | undefined {
  const { code, metadata } = thrown as Partial<ServiceError>
  const trailer = metadata?.get(STATUS_DETAILS_TRAILER)[0]
  const sent = Buffer.isBuffer(trailer) ? decodeStatus(trailer) : undefined
  return sent?.code === code ? sent : undefined
}

/** A process that ended while it had work, or without being asked to. */
export function crashError(process: PluginProcess, exit: ExitInfo): FnError {
  const stderr = process.stderrTail().trim().slice(-TAIL_CHARS)
  const lastLine = stderr.slice(stderr.lastIndexOf("\n") + 1).slice(0, 300)
  return FnError.of("FUNCTION_CRASHED", `the plugin's process ended (${describeExit(exit)})${lastLine === "" ? "" : `: ${lastLine}`}`, {
    details: { exit: describeExit(exit), stderr },
  })
}

/** Why a plugin that answered its handshake did not get ready. */
export async function startError(process: PluginProcess, thrown: unknown): Promise<FnError> {
  const { code } = thrown as Partial<ServiceError>
  if (FnError.is(thrown)) return thrown
  if (code === status.UNIMPLEMENTED)
    return FnError.of("PLUGIN_PROTOCOL", "the program speaks go-plugin, but serves no fn.plugin.v1.Function", { cause: thrown })
  if (code === status.DEADLINE_EXCEEDED)
    return FnError.of("PLUGIN_START_TIMEOUT", "the plugin answered its handshake, but did not get ready in time", { cause: thrown })
  if (code === status.UNAVAILABLE) return await process.explain(thrown)
  return errorFromRpc(thrown)
}

/** The error in the answer to Initialize; undefined when there is none. */
export function initializeError(diagnostics: readonly plugin.Diagnostic[]): FnError | undefined {
  const errors = diagnostics.filter(({ severity }) => severity === plugin.Diagnostic_Severity.SEVERITY_ERROR)
  if (errors.length === 0) return undefined
  const text = errors.map(({ configPath, summary }) => (configPath === "" ? summary : `${configPath}: ${summary}`)).join("; ")
  const isConfig = errors.some(({ configPath, detail }) => configPath !== "" || detail === "INVALID_CONFIG")
  const issues = errors.map(({ configPath, summary, detail }) => ({ path: configPath, message: summary, detail }))
  return isConfig
    ? FnError.of("INVALID_CONFIG", `invalid config: ${text}`, { details: { issues } })
    : FnError.of("INIT_FAILED", text, { details: { issues } })
}
