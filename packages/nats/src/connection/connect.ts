import { readFileSync } from "node:fs"
import { FnError, messageOf } from "@fn/core"
import {
  type Authenticator,
  type ConnectionOptions,
  connect,
  credsAuthenticator,
  type NatsConnection,
  nkeyAuthenticator,
  tokenAuthenticator,
  usernamePasswordAuthenticator,
} from "@nats-io/transport-node"
import { loadNatsContext } from "./context.js"
import { connectError } from "./errors.js"
import { checkNatsOptions, type NatsOptions } from "./options.js"

const DEFAULT_SERVER = "nats://127.0.0.1:4222"
/** Dead peers are noticed within two of these. */
const PING_INTERVAL_MS = 20_000
const HANDSHAKE_TIMEOUT_MS = 5_000

/**
 * Bytes after which the client writes to the socket without waiting for the end of the tick; its own default is 32 KiB, and the option is not
 * in its types. Sooner means that server and peer already work on the first messages of a burst while we make the rest: docs/adr/0007.
 */
const FLUSH_EARLY: object = { pendingLimit: 16 * 1024 }

/**
 * A connection that never gives up: it reconnects for ever, reading secrets anew each time.
 * Publishes made while it is down vanish: see ReplyInbox and watchConnection.
 * @throws {FnError} INVALID_CONFIG, NATS_UNREACHABLE when no server answers, NATS_AUTH when it refuses the credentials
 */
export async function connectNats(options: NatsOptions = {}): Promise<NatsConnection> {
  const resolved = resolveNatsOptions(options)
  const { servers, user, password } = splitServers(resolved)
  try {
    return await connect({
      servers,
      ...(resolved.name ? { name: resolved.name } : {}),
      ...(resolved.inboxPrefix ? { inboxPrefix: resolved.inboxPrefix } : {}),
      ...tlsOf(resolved, servers),
      authenticator: authenticatorsOf({ ...resolved, user, password }),
      maxReconnectAttempts: -1,
      reconnectTimeWait: 250,
      reconnectJitter: 100,
      reconnectJitterTLS: 250,
      // Otherwise two refusals in a row close the connection for good, and rotated credentials would never be tried.
      ignoreAuthErrorAbort: true,
      pingInterval: PING_INTERVAL_MS,
      timeout: HANDSHAKE_TIMEOUT_MS,
      // A stack captured per request costs a third of the throughput.
      noAsyncTraces: true,
      ...FLUSH_EARLY,
    })
  } catch (thrown) {
    throw connectError(thrown, servers)
  }
}

/**
 * `options` checked, with those of its context filled in below them: an option set beside the context wins, and any credential set
 * beside it replaces all of the context's.
 * @throws {FnError} invalid_argument INVALID_CONFIG
 */
export function resolveNatsOptions(options: NatsOptions, env: Readonly<Record<string, string | undefined>> = process.env): NatsOptions {
  const { context, ...own } = checkNatsOptions(options)
  if (context === undefined) return own
  const base: Record<string, unknown> = { ...loadNatsContext(context, env) }
  if (CREDENTIALS.some((option) => own[option] !== undefined)) for (const option of CREDENTIALS) delete base[option]
  for (const [option, value] of Object.entries(own)) if (value !== undefined) base[option] = value
  return checkNatsOptions(base)
}

const CREDENTIALS = ["credsFile", "nkeyFile", "user", "password", "passwordFile", "token", "tokenFile"] as const

/** Server addresses without the user and password that the first of them may carry (nats.js does not read those). */
function splitServers(options: NatsOptions): { servers: string[]; user: string | undefined; password: string | undefined } {
  const given = typeof options.servers === "string" ? options.servers.split(",") : (options.servers ?? [DEFAULT_SERVER])
  let { user, password } = options
  const servers = given.map((server) => {
    const address = server.trim()
    const [, scheme = "", userInfo, rest] = /^([a-z]+:\/\/)?(?:([^@/]*)@)?(.+)$/.exec(address) ?? []
    if (rest === undefined) throw FnError.of("INVALID_CONFIG", `${JSON.stringify(server)} is no NATS address`)
    if (userInfo !== undefined && user === undefined) {
      const [name = "", secret] = userInfo.split(":")
      user = decodeURIComponent(name)
      password = secret === undefined ? undefined : decodeURIComponent(secret)
    }
    return scheme + rest
  })
  return { servers, user, password }
}

function authenticatorsOf(options: NatsOptions): Authenticator[] {
  const authenticators: Authenticator[] = []
  if (options.credsFile) authenticators.push(credsAuthenticator(secretFile(options.credsFile)))
  if (options.nkeyFile) {
    const seed = secretFile(options.nkeyFile)
    authenticators.push(nkeyAuthenticator(() => Buffer.from(seed().toString("utf8").trim())))
  }
  const token = options.tokenFile ? textOf(secretFile(options.tokenFile)) : options.token
  if (token !== undefined) authenticators.push(tokenAuthenticator(token))
  if (options.user !== undefined) {
    const password = options.passwordFile ? textOf(secretFile(options.passwordFile)) : options.password
    // A user without a password is how nats.js and the nats command pass a token in a URL.
    authenticators.push(usernamePasswordAuthenticator(options.user, password))
  }
  return authenticators
}

/** Reads a secret now and on every use. A file that cannot be read later leaves the last content: an error there would close the connection for good. */
function secretFile(path: string): () => Buffer {
  let last: Buffer
  try {
    last = readFileSync(path)
  } catch (cause) {
    throw FnError.of("INVALID_CONFIG", `cannot read the NATS credentials: ${messageOf(cause)}`, { cause })
  }
  return () => {
    try {
      last = readFileSync(path)
    } catch {
      // being replaced just now, or gone: the server decides whether the old one still holds
    }
    return last
  }
}

function textOf(read: () => Buffer): () => string {
  return () => read().toString("utf8").trim()
}

function tlsOf(options: NatsOptions, servers: readonly string[]): Pick<ConnectionOptions, "tls"> {
  const { caFile, certFile, keyFile } = options
  const wanted = caFile ?? certFile ?? servers.find((server) => server.startsWith("tls://"))
  if (wanted === undefined) return {}
  return { tls: { ...(caFile ? { caFile } : {}), ...(certFile ? { certFile } : {}), ...(keyFile ? { keyFile } : {}) } }
}
