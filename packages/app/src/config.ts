import { readFileSync } from "node:fs"
import { FnError, messageOf } from "@fn/core"
import { NATS_OPTION_FLAGS, type NatsOptions, natsOptionsFromFlags, natsOptionsSchema } from "@fn/nats"
import { Command, CommanderError, Option } from "commander"
import { parse } from "yaml"
import type { z } from "zod"

/** One setting of an app: a flag, an environment variable and a key of the configuration file, all for the same value. */
export interface AppOption {
  /** Key in the file and in the loaded configuration: `httpPort`. The flag is `--http-port`, the variable `FN_HTTP_PORT`. */
  readonly key: string
  readonly description: string
  /** Placeholder of the value in help texts; absent for a switch. */
  readonly value?: string
  /** Text from flag or variable, or the file's value, to the setting. Its default applies when nothing is said. */
  readonly schema: z.ZodType
}

/** What an app can be told. NATS options and `--config` come on top of its own. */
export interface AppSpec {
  /** Name of the program. */
  readonly name: string
  readonly description: string
  readonly version: string
  readonly options: readonly AppOption[]
}

/** What an app was told. Frozen. */
export interface LoadedConfig<Settings> {
  readonly settings: Readonly<Settings>
  readonly nats: NatsOptions
}

/**
 * Configuration by the rule flag > environment > file > default. An empty variable is unset, an unknown key fails, and all problems
 * are reported together, each naming its option, flag and variable.
 *
 * Undefined when help or the version was asked for; `print` has got the text then.
 * @throws {FnError} invalid_argument INVALID_CONFIG; `details.problems` lists them
 */
export function loadConfig<Settings extends object>(
  spec: AppSpec,
  argv: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  print: (text: string) => void,
): LoadedConfig<Settings> | undefined {
  const flags = parseFlags(spec, argv, print)
  if (!flags) return undefined
  const problems: string[] = []
  const file = readConfigFile((flags.config as string | undefined) ?? (env.FN_CONFIG || undefined), spec, problems)
  const settings: Record<string, unknown> = {}
  for (const option of spec.options) {
    const raw = flags[option.key] ?? (env[variableOf(option.key)] || undefined) ?? file.settings[option.key]
    const parsed = option.schema.safeParse(raw)
    if (parsed.success) settings[option.key] = parsed.data
    else
      for (const issue of parsed.error.issues)
        problems.push(`${option.key} (${flagOf(option.key)}, ${variableOf(option.key)}): ${issue.message}`)
  }
  const nats = natsOptions(flags, env, file.nats, problems)
  if (problems.length > 0) throw FnError.of("INVALID_CONFIG", problems.join("; "), { details: { problems } })
  return Object.freeze({ settings: Object.freeze(settings as Settings), nats: Object.freeze(nats) })
}

function parseFlags(spec: AppSpec, argv: readonly string[], print: (text: string) => void): Record<string, unknown> | undefined {
  const command = new Command(spec.name)
    .description(spec.description)
    .version(spec.version)
    .exitOverride()
    .configureOutput({ writeOut: print, writeErr: () => undefined })
    .addOption(new Option("--config <file>", "configuration file (YAML); FN_CONFIG"))
  for (const { key, value, description } of spec.options) {
    command.addOption(new Option(value ? `${flagOf(key)} <${value}>` : flagOf(key), `${description}; ${variableOf(key)}`))
  }
  for (const { flag, value, description, env } of NATS_OPTION_FLAGS) {
    command.addOption(new Option(`${flag} <${value}>`, `${description}; ${env}`).helpGroup("Connection:"))
  }
  try {
    return command.parse(argv, { from: "user" }).opts()
  } catch (thrown) {
    if (thrown instanceof CommanderError && thrown.exitCode === 0) return undefined
    throw FnError.of("INVALID_CONFIG", messageOf(thrown).replace(/^error: /, ""))
  }
}

function readConfigFile(
  path: string | undefined,
  spec: AppSpec,
  problems: string[],
): { settings: Record<string, unknown>; nats: Record<string, unknown> } {
  if (path === undefined) return { settings: {}, nats: {} }
  let parsed: unknown
  try {
    parsed = parse(readFileSync(path, "utf8")) ?? {}
  } catch (thrown) {
    problems.push(`config file ${path}: ${messageOf(thrown)}`)
    return { settings: {}, nats: {} }
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed)) {
    problems.push(`config file ${path}: it must be a mapping`)
    return { settings: {}, nats: {} }
  }
  const { nats = {}, ...settings } = parsed as Record<string, unknown>
  const known = new Set(spec.options.map(({ key }) => key))
  for (const key in settings) if (!known.has(key)) problems.push(`config file ${path}: unknown key ${key}`)
  const checked = natsOptionsSchema.safeParse(nats)
  if (!checked.success)
    for (const issue of checked.error.issues) problems.push(`config file ${path}: nats.${issue.path.join(".")}: ${issue.message}`)
  return { settings, nats: checked.success ? checked.data : {} }
}

function natsOptions(
  flags: Record<string, unknown>,
  env: Readonly<Record<string, string | undefined>>,
  file: Record<string, unknown>,
  problems: string[],
): NatsOptions {
  try {
    return { ...file, ...natsOptionsFromFlags(flags, env) }
  } catch (thrown) {
    problems.push(messageOf(thrown))
    return {}
  }
}

function flagOf(key: string): string {
  return `--${key.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
}

function variableOf(key: string): string {
  return `FN_${key.replace(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`
}
