/** Starts command instances: any program that takes one event on stdin and writes events to stdout. docs/command-protocol.md */
import { FnError } from "@fn/core"
import { GroupKeeper } from "@fn/process"
import { commandLine, type FunctionDefinition } from "@fn/registry"
import type { InstanceSpec, InstanceStarter } from "../instance.js"
import { requireEnforceable } from "../isolation.js"
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
  const pipes = new PipeStore(options.scratchDir)
  const groups = new GroupKeeper()
  return {
    start: async (spec) => new CommandInstance(programOf(spec, options, pipes, groups), options.killGraceMs ?? DEFAULT_KILL_GRACE_MS),
    close: async () => {
      await pipes.close()
      await groups.release()
    },
  }
}

function programOf(spec: InstanceSpec, options: CommandStarterOptions, pipes: PipeStore, groups: GroupKeeper): CommandProgram {
  const { definition, artifactPath } = spec
  requireEnforceable(definition, { levels: ["none", "process"] })
  checkConfig(definition)
  const environment = { ...ENVIRONMENT, ...definition.env }
  const [command, ...args] = commandLine(definition, artifactPath) as [string, ...string[]]
  return {
    spec,
    file: findProgram(command, environment.PATH),
    args,
    environment,
    scratchDir: options.scratchDir,
    pipes,
    groups,
    maxOutputBytes: options.maxOutputBytes ?? DEFAULT_MAX_OUTPUT_BYTES,
  }
}

function checkConfig({ config }: FunctionDefinition): void {
  if (Buffer.byteLength(JSON.stringify(config)) > MAX_CONFIG_BYTES)
    throw FnError.of("INVALID_CONFIG", `invalid config: a command gets it as a variable, which has ${MAX_CONFIG_BYTES} bytes at most`)
}
