import { type Client, connectClient } from "@fn/client"
import { DEFAULT_NAMESPACE, FnError, type FunctionRef, parseRef } from "@fn/core"
import { connectNats, NATS_OPTION_FLAGS, type NatsConnection, type NatsOptions, natsOptionsFromFlags } from "@fn/nats"
import { connectRegistry, type Registry } from "@fn/registry"
import { type Command, Option } from "commander"
import type { Io } from "./io.js"

/** What commander parsed, by the names of the flags. */
export type Flags = Readonly<Record<string, unknown>>

/** NATS and what the platform keeps in it. */
export interface Platform extends AsyncDisposable {
  readonly nc: NatsConnection
  readonly registry: Registry
  readonly options: NatsOptions
}

/** Declares the flags that every command with a connection has. */
export function addConnectionFlags(command: Command): Command {
  for (const { flag, value, description, env } of NATS_OPTION_FLAGS) {
    command.addOption(new Option(`${flag} <${value}>`, `${description}; ${env}`).helpGroup("Connection:"))
  }
  return command
}

/** Declares `--namespace`. */
export function addNamespaceFlag(command: Command, meaning: string): Command {
  return command.addOption(new Option("--namespace <name>", `${meaning}; FN_NAMESPACE`))
}

/** The namespace that is meant where none is spelled. */
export function namespaceOf(flags: Flags, io: Pick<Io, "env">): string {
  return (flags.namespace as string | undefined) ?? (io.env.FN_NAMESPACE || DEFAULT_NAMESPACE)
}

/** The function a person named. @throws {FnError} invalid_argument INVALID_NAME, INVALID_VERSION */
export function refOf(text: string, flags: Flags, io: Pick<Io, "env">): FunctionRef {
  return parseRef(text, namespaceOf(flags, io))
}

/** The functions a person means: one, those of `--namespace`, or all. @throws {FnError} invalid_argument INVALID_NAME, INVALID_REQUEST */
export function functionFilter(text: string | undefined, flags: Flags, io: Pick<Io, "env">): { namespace?: string; name?: string } {
  if (text === undefined) return flags.namespace === undefined ? {} : { namespace: flags.namespace as string }
  const { namespace, name, version } = refOf(text, flags, io)
  if (version !== undefined) throw FnError.of("INVALID_REQUEST", `${text}: name the function without a version`)
  return { namespace, name }
}

/** Connects as the flags and the environment say. @throws {FnError} INVALID_CONFIG, NATS_UNREACHABLE, NATS_AUTH, NOT_SET_UP */
export async function openPlatform(flags: Flags, io: Pick<Io, "env">): Promise<Platform> {
  const options = { name: "fn", ...natsOptionsFromFlags(flags, io.env) }
  const nc = await connectNats(options)
  try {
    const registry = await connectRegistry(nc, registryOptions(options))
    const close = async (): Promise<void> => {
      await registry.close()
      await nc.close()
    }
    return { nc, registry, options, [Symbol.asyncDispose]: close }
  } catch (thrown) {
    await nc.close()
    throw thrown
  }
}

/** `source` of events from this command that do not say where they come from. */
export const CLI_SOURCE = "/fn/cli"

/** A client, connected as the flags and the environment say. @throws {FnError} as {@link openPlatform} */
export function openClient(flags: Flags, io: Pick<Io, "env">): Promise<Client> {
  return connectClient({ name: "fn", source: CLI_SOURCE, ...natsOptionsFromFlags(flags, io.env) })
}

/** What the registry wants of the connection's options. */
export function registryOptions({ prefix, jsDomain }: NatsOptions): { prefix?: string; jsDomain?: string } {
  return { ...(prefix === undefined ? {} : { prefix }), ...(jsDomain === undefined ? {} : { jsDomain }) }
}
