/**
 * A plugin under limits: where it finds its files, how it is started, where its socket is.
 *
 * In a sandbox it listens in `/run/fn`, a folder in memory that only exists there; the host dials it by a descriptor that it checked
 * (docs/isolation.md). A port would be one of the sandbox's own network, where nobody else is.
 */
import { FnError } from "@fn/core"
import type { PluginAddress, PluginProgram, StartedPlugin } from "@fn/go-plugin"
import type { SystemView, Usage } from "@fn/isolation"
import type { Child } from "@fn/process"
import { commandLine } from "@fn/registry"
import type { Demand } from "../../isolation/demand.js"
import { type FunctionLauncher, isIsolated, limitError, type Place } from "../../isolation/launcher.js"
import { usageOf } from "../../isolation/usage.js"
import { findProgram } from "../command/program-file.js"
import type { InstanceSpec } from "../instance.js"

/** How a plugin that is not plain is launched. */
export interface IsolatedPlugin {
  readonly command: [string, ...string[]]
  start(program: PluginProgram): Promise<StartedPlugin>
  /** The limit that ended its process, if one did. */
  limit(): Promise<FnError | undefined>
  /** What its process uses; undefined before there is one. */
  usage(): Promise<Usage | undefined>
}

const SOCKET_DIR = "/run/fn"
const SOCKET_DIR_VARIABLE = "PLUGIN_UNIX_SOCKET_DIR"
/** Where a sandbox has programs. */
const SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"
const NO_PLACE: Place = { path: "", files: [] }

/** Undefined for a plugin that is plain. @throws {FnError} ISOLATION_UNAVAILABLE for what this host refuses */
export async function isolatedPlugin(
  spec: InstanceSpec,
  launcher: FunctionLauncher,
  signal: AbortSignal,
): Promise<IsolatedPlugin | undefined> {
  const { definition, artifactPath } = spec
  const demand = launcher.demandOf(definition)
  if (demand.plain) return undefined
  const artifact = artifactPath === undefined ? NO_PLACE : await launcher.place(demand, artifactPath)
  const node = await launcher.node(demand)
  const [first, ...args] = commandLine(definition, artifact.path || undefined, node.path) as [string, ...string[]]
  const isOwn = first === artifact.path || first.startsWith(`${artifact.path}/`)
  const isNode = first === node.path
  const command = isOwn || isNode ? first : findProgram(first, definition.env.PATH ?? SYSTEM_PATH)
  const system: SystemView = isNode ? "none" : isOwn ? "libraries" : "programs"
  let child: Child | undefined
  return {
    command: [command, ...args],
    start: async (program) => {
      child = await launcher.launch(demand, {
        command: program.command,
        args: program.args,
        env: environmentOf(program.env, demand),
        stdio: ["ignore", "pipe", "pipe"],
        files: [...artifact.files, ...(isNode ? node.files : [])],
        system,
        name: "plugin",
        signal,
      })
      return { child, ...translation(child, demand) }
    },
    limit: async () => (child?.exit ? await limitError(child) : undefined),
    usage: async () => (child ? await usageOf(child) : undefined),
  }
}

/** A process makes its socket in the folder that is its own, which TMPDIR names. */
function environmentOf(env: Readonly<Record<string, string>>, { level }: Demand): Record<string, string> {
  const { [SOCKET_DIR_VARIABLE]: _ours, ...rest } = env
  return level === "sandbox" ? { ...rest, [SOCKET_DIR_VARIABLE]: SOCKET_DIR } : rest
}

function translation(child: Child, { level }: Demand): Pick<StartedPlugin, "translate"> {
  if (level !== "sandbox" || !isIsolated(child)) return {}
  return {
    translate: (address: PluginAddress): PluginAddress => {
      if (address.network === "tcp")
        throw FnError.of(
          "BAD_HANDSHAKE",
          `the plugin listens on ${address.address}: in a sandbox it has to listen on a unix socket in ${SOCKET_DIR}`,
        )
      const socket = child.openSocket(address.address)
      const close = (): void => socket.close()
      child.ended.then(close, close)
      return { network: "unix", address: socket.path }
    },
  }
}
