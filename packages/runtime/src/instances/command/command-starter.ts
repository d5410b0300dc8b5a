/** Starts command instances: any program that takes one event on stdin and writes events to stdout. docs/command-protocol.md */
import { FnError } from "@fn/core"
import { GroupKeeper } from "@fn/process"
import { commandLine, type FunctionDefinition } from "@fn/registry"
import { FunctionLauncher } from "../../isolation/launcher.js"
import type { InstanceSpec, InstanceStarter } from "../instance.js"
import { CommandInstance } from "./command-instance.js"
import type { CommandProgram } from "./command-run.js"
import { findProgram } from "./program-file.js"
import { PipeStore } from "./stdio-pipes.js"

/** How commands run. */
export interface CommandStarterOptions {
  /** Folder for pipes and the executions' own folders. Emptied by whoever owns it. */
  readonly scratchDir: string
  /** Time between SIGTERM and SIGKILL for an execution that is to stop, ms. Default 500. */
  readonly killGraceMs?: number
  /** Most that one execution may write to stdout, and to stderr. Default 64 MiB. */
  readonly maxOutputBytes?: number
  /** Default: plain processes for functions that ask for nothing else. */
  readonly launcher?: FunctionLauncher
}

const DEFAULT_KILL_GRACE_MS = 500
/** The largest event. */
const DEFAULT_MAX_OUTPUT_BYTES = 64 * 1024 * 1024
/** The kernel takes no variable beyond 128 KiB. */
const MAX_CONFIG_BYTES = 100 * 1024
/** All that a program gets beside its definition's own: where programs are, and that text is UTF-8. */
const ENVIRONMENT: Readonly<Record<string, string>> = { PATH: "/usr/local/bin:/usr/bin:/bin", LANG: "C.UTF-8" }

/** The starter of runtime `command`. */
export function createCommandStarter(options: CommandStarterOptions): InstanceStarter {
  const shared: Shared = {
    pipes: new PipeStore(options.scratchDir),
    groups: new GroupKeeper(),
    launcher: options.launcher ?? new FunctionLauncher(),
    scratchDir: options.scratchDir,
    maxOutputBytes: options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
  }
  return {
    start: async (spec) => new CommandInstance(await programOf(spec, shared), options.killGraceMs ?? DEFAULT_KILL_GRACE_MS),
    close: async () => {
      await shared.pipes.close()
      await shared.groups.release()
      if (shared.launcher !== options.launcher) await shared.launcher.close()
    },
  }
}

/** What all commands of a host have in common. */
type Shared = Pick<CommandProgram, "pipes" | "groups" | "launcher" | "scratchDir" | "maxOutputBytes">

async function programOf(spec: InstanceSpec, shared: Shared): Promise<CommandProgram> {
  const { definition, artifactPath } = spec
  const { launcher } = shared
  const demand = launcher.demandOf(definition)
  checkConfig(definition)
  const environment = { ...ENVIRONMENT, ...definition.env }
  const [onHost] = commandLine(definition, artifactPath) as [string]
  const artifact = artifactPath === undefined ? undefined : await launcher.place(demand, artifactPath)
  const [command, ...args] = commandLine(definition, artifact?.path) as [string, ...string[]]
  const file = findProgram(onHost, environment.PATH)
  return {
    ...shared,
    spec,
    demand,
    // A program of the function is where the child sees it; one of the machine is where it is.
    file: command === onHost ? file : command,
    args,
    shows: { files: artifact?.files ?? [], system: "programs" },
    environment,
  }
}

function checkConfig({ config }: FunctionDefinition): void {
  if (Buffer.byteLength(JSON.stringify(config)) > MAX_CONFIG_BYTES)
    throw FnError.of("INVALID_CONFIG", `invalid config: a command gets it as a variable, which has ${MAX_CONFIG_BYTES} bytes at most`)
}
