import type { FunctionManifest } from "@fn/registry"
import type { Msg } from "@nats-io/transport-node"
import type { RuntimeOptions } from "../../src/index.js"
import { startTestHost, type TestHost } from "../test-host.js"

/** A host whose functions are commands. */
export interface CommandHost extends TestHost {
  /** Deploys a shell script; without `#!` it gets `#!/bin/sh`. */
  deployScript(name: string, script: string, manifest?: Partial<FunctionManifest>): Promise<void>
  /** Deploys a command line that needs no file. */
  deployCommand(name: string, command: string[], manifest?: Partial<FunctionManifest>): Promise<void>
  /** Calls a function in `shell`. */
  call(name: string, payload?: string | Uint8Array, headers?: Record<string, string>): Promise<Msg>
}

export async function startCommandHost(options: Partial<RuntimeOptions> = {}): Promise<CommandHost> {
  const host = await startTestHost(options)
  return {
    ...host,
    deployScript: (name, script, manifest = {}) =>
      host.deploy(
        { name, language: "shell", runtime: "command", entry: `${name}.sh`, ...manifest },
        { artifact: Buffer.from(script.startsWith("#!") ? script : `#!/bin/sh\n${script}\n`), fileName: `${name}.sh` },
      ),
    deployCommand: (name, command, manifest = {}) => host.deploy({ name, language: "shell", runtime: "command", command, ...manifest }),
    call: (name, payload = "{}", headers = {}) => host.request(`function.shell.${name}`, payload, headers, 30_000),
    [Symbol.asyncDispose]: () => host[Symbol.asyncDispose](),
  }
}
