import { FnError } from "@fn/core"
import { z } from "zod"

/** How to reach and enter NATS. Secrets come by file and are read again on every reconnect. */
export interface NatsOptions {
  /** `host:port` or URL, or several, also comma-separated. Default: the context's, else `nats://127.0.0.1:4222`. */
  readonly servers?: string | readonly string[] | undefined
  /** File with a user JWT and its seed, as `nsc` writes it. */
  readonly credsFile?: string | undefined
  /** File with an nkey seed. */
  readonly nkeyFile?: string | undefined
  readonly user?: string | undefined
  /** For programs that get their secrets another way; a command line offers only `passwordFile`. */
  readonly password?: string | undefined
  readonly passwordFile?: string | undefined
  readonly token?: string | undefined
  readonly tokenFile?: string | undefined
  /** Certificate authorities (PEM) that may have signed the server's certificate. */
  readonly caFile?: string | undefined
  /** Client certificate (PEM) and its key. */
  readonly certFile?: string | undefined
  readonly keyFile?: string | undefined
  /** Name of a context of the `nats` command, or path of such a file. What is set here beside it wins. */
  readonly context?: string | undefined
  /** JetStream domain of the hub, from a leaf node. */
  readonly jsDomain?: string | undefined
  /** First token of the platform's subjects and buckets. Default `function`. */
  readonly prefix?: string | undefined
  /** Shown in the server's connection list. */
  readonly name?: string | undefined
  /** First tokens of reply subjects, so that permissions can fence replies. Default `_INBOX`. */
  readonly inboxPrefix?: string | undefined
}

const text = z.string().min(1)
const token = text.regex(/^[A-Za-z0-9_-]{1,32}$/, "it must be one NATS token")
const subject = text.regex(/^[^\s.*>]+(\.[^\s.*>]+)*$/, "it must be a NATS subject without wildcards")

/** Shape of {@link NatsOptions}; `.shape` fits into a larger config schema. */
export const natsOptionsSchema = z.strictObject({
  servers: z.union([text, z.array(text).min(1)]).optional(),
  credsFile: text.optional(),
  nkeyFile: text.optional(),
  user: text.optional(),
  password: text.optional(),
  passwordFile: text.optional(),
  token: text.optional(),
  tokenFile: text.optional(),
  caFile: text.optional(),
  certFile: text.optional(),
  keyFile: text.optional(),
  context: text.optional(),
  jsDomain: token.optional(),
  prefix: token.optional(),
  name: text.optional(),
  inboxPrefix: subject.optional(),
})

/** One command line option of every program that connects to NATS. */
export interface NatsOptionFlag {
  readonly option: keyof NatsOptions
  /** `--nats-url`. */
  readonly flag: string
  /** What command line parsers call the flag's value: `natsUrl`. */
  readonly key: string
  /** Placeholder of the value in help texts. */
  readonly value: string
  /** `FN_NATS_URL`. */
  readonly env: string
  readonly description: string
}

/** The same flags and variables for every program. */
export const NATS_OPTION_FLAGS: readonly NatsOptionFlag[] = [
  flag("servers", "--nats-url", "url", "NATS server, or several separated by commas (default nats://127.0.0.1:4222)"),
  flag("credsFile", "--nats-creds", "file", "credentials file: user JWT and seed"),
  flag("nkeyFile", "--nats-nkey", "file", "nkey seed file"),
  flag("user", "--nats-user", "name", "user name"),
  flag("passwordFile", "--nats-password-file", "file", "file with the user's password"),
  flag("tokenFile", "--nats-token-file", "file", "file with an authentication token"),
  flag("caFile", "--nats-ca", "file", "certificate authorities of the server (PEM)"),
  flag("certFile", "--nats-cert", "file", "client certificate (PEM)"),
  flag("keyFile", "--nats-key", "file", "key of the client certificate (PEM)"),
  flag("context", "--nats-context", "name", "context of the nats command"),
  flag("inboxPrefix", "--nats-inbox-prefix", "subject", "first tokens of reply subjects (default _INBOX)"),
  flag("jsDomain", "--js-domain", "name", "JetStream domain"),
  flag("prefix", "--prefix", "token", "first token of the platform's subjects (default function)"),
]

/**
 * Options from parsed flags and the environment; a flag wins, an empty variable is unset.
 * @throws {FnError} invalid_argument INVALID_CONFIG naming flag and variable of everything that is wrong
 */
export function natsOptionsFromFlags(
  flags: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>> = {},
): NatsOptions {
  const values: Record<string, unknown> = {}
  for (const { option, key, env: variable } of NATS_OPTION_FLAGS) {
    const value = flags[key] ?? (env[variable] || undefined)
    if (value !== undefined) values[option] = value
  }
  return checkNatsOptions(values)
}

/** `options` if they are well-formed. @throws {FnError} invalid_argument INVALID_CONFIG naming everything that is wrong */
export function checkNatsOptions(options: unknown): NatsOptions {
  const parsed = natsOptionsSchema.safeParse(options)
  const problems = parsed.success
    ? contradictions(parsed.data)
    : parsed.error.issues.map((issue) => `${nameOf(issue.path[0])}: ${issue.message}`)
  if (problems.length > 0) throw FnError.of("INVALID_CONFIG", `NATS options: ${problems.join("; ")}`, { details: { problems } })
  return parsed.data as NatsOptions
}

function contradictions(options: NatsOptions): string[] {
  const problems: string[] = []
  if (options.certFile && !options.keyFile) problems.push(`${nameOf("certFile")} needs ${nameOf("keyFile")}`)
  if (options.keyFile && !options.certFile) problems.push(`${nameOf("keyFile")} needs ${nameOf("certFile")}`)
  if ((options.password || options.passwordFile) && !options.user) problems.push(`${nameOf("passwordFile")} needs ${nameOf("user")}`)
  return problems
}

function nameOf(option: PropertyKey | undefined): string {
  const known = NATS_OPTION_FLAGS.find((candidate) => candidate.option === option)
  return known ? `${known.option} (${known.flag}, ${known.env})` : String(option ?? "options")
}

function flag(option: keyof NatsOptions, name: string, value: string, description: string): NatsOptionFlag {
  const words = name.slice(2).split("-")
  const key = words.map((word, at) => (at === 0 ? word : word.charAt(0).toUpperCase() + word.slice(1))).join("")
  return { option, flag: name, key, value, env: `FN_${words.join("_").toUpperCase()}`, description }
}
