import { readFileSync } from "node:fs"
import { homedir } from "node:os"
import { isAbsolute, join } from "node:path"
import { FnError, messageOf } from "@fn/core"
import { z } from "zod"
import type { NatsOptions } from "./options.js"

/** Variables that tell where contexts are kept. */
type Environment = Readonly<Record<string, string | undefined>>

// What the nats command writes; keys we have no use for (description, color_scheme …) may stand there too.
const text = z.string().optional()
const contextSchema = z.object({
  url: text,
  token: text,
  user: text,
  password: text,
  creds: text,
  nkey: text,
  cert: text,
  key: text,
  ca: text,
  nsc: text,
  user_jwt: text,
  user_seed: text,
  socks_proxy: text,
  jetstream_domain: text,
  jetstream_api_prefix: text,
  inbox_prefix: text,
  tls_first: z.boolean().optional(),
})

/** Settings a context can have that we would silently not obey. */
const UNSUPPORTED = ["nsc", "user_jwt", "user_seed", "socks_proxy", "jetstream_api_prefix", "tls_first"] as const

/**
 * The options in a context file of the `nats` command (`$XDG_CONFIG_HOME/nats/context/{name}.json`).
 * @throws {FnError} invalid_argument INVALID_CONFIG when there is no such context, it is broken, or needs something we do not offer
 */
export function loadNatsContext(context: string, env: Environment = process.env): NatsOptions {
  const path = contextPath(context, env)
  const file = parse(path, read(path, context))
  const unsupported = UNSUPPORTED.filter((key) => file[key])
  if (unsupported.length > 0) throw invalid(`NATS context ${path} uses ${unsupported.join(", ")}, which fn does not support`)
  const home = (file_: string | undefined): string | undefined => (file_ ? expandHome(file_, env) : undefined)
  return {
    servers: file.url || undefined,
    token: file.token || undefined,
    user: file.user || undefined,
    password: file.password || undefined,
    credsFile: home(file.creds),
    nkeyFile: home(file.nkey),
    certFile: home(file.cert),
    keyFile: home(file.key),
    caFile: home(file.ca),
    jsDomain: file.jetstream_domain || undefined,
    inboxPrefix: file.inbox_prefix || undefined,
  }
}

function contextPath(context: string, env: Environment): string {
  if (isAbsolute(context)) return context
  if (!/^[\w.@+-]+$/.test(context) || context.startsWith(".")) throw invalid(`${JSON.stringify(context)} is no name of a NATS context`)
  return join(env.XDG_CONFIG_HOME || join(env.HOME || homedir(), ".config"), "nats", "context", `${context}.json`)
}

function read(path: string, context: string): string {
  try {
    return readFileSync(path, "utf8")
  } catch (cause) {
    throw invalid(`there is no NATS context ${JSON.stringify(context)} (nats context ls shows them): ${messageOf(cause)}`, cause)
  }
}

function parse(path: string, json: string): z.infer<typeof contextSchema> {
  try {
    return contextSchema.parse(JSON.parse(json))
  } catch (cause) {
    throw invalid(`NATS context ${path} is broken: ${messageOf(cause)}`, cause)
  }
}

function expandHome(path: string, env: Environment): string {
  return path.startsWith("~/") ? join(env.HOME || homedir(), path.slice(2)) : path
}

function invalid(message: string, cause?: unknown): FnError {
  return FnError.of("INVALID_CONFIG", message, cause === undefined ? {} : { cause })
}
