/**
 * What addresses callbacks may be posted to: hosts the operator allows, at addresses that are nobody's inside.
 *
 * Names are checked after they were resolved, and the address that was checked is the one that is connected to: a name that points
 * elsewhere a moment later (DNS rebinding) gains nothing.
 */
import { type LookupAddress, lookup as resolveName } from "node:dns"
import { isIP, type LookupFunction } from "node:net"
import { FnError } from "@fn/core"
import { refused } from "./callback-target.js"
import { isPublicAddress } from "./public-address.js"

/** What an operator says of HTTP callbacks. */
export interface HttpPolicyOptions {
  /**
   * `host`, `*.example.com` or `*`, each with a port, `:*` for any, or without: then the scheme's own is meant. Empty: none is allowed.
   */
  readonly allow?: readonly string[] | undefined
  /** Loopback, private and link-local addresses too: for tests and development. Default false. */
  readonly allowPrivate?: boolean | undefined
  /** Default: the system's resolver. */
  readonly resolve?: (hostname: string) => Promise<LookupAddress[]>
}

interface Rule {
  readonly host: string
  /** The host's own subdomains, not the host. */
  readonly isWildcard: boolean
  readonly port: string | undefined
}

const ENTRY = /^(\*|(?:\*\.)?[a-z0-9_-]+(?:\.[a-z0-9_-]+)*|\[[0-9a-f:.]+\])(?::(\d{1,5}|\*))?$/
const DEFAULT_PORTS: Readonly<Record<string, string>> = { "http:": "80", "https:": "443" }

/** See the head of this file. */
export class HttpPolicy {
  /** For node's `net.connect`: only addresses that may be connected to. */
  readonly lookup: LookupFunction
  readonly #rules: readonly Rule[]
  readonly #allowPrivate: boolean
  readonly #resolve: (hostname: string) => Promise<LookupAddress[]>

  /** @throws {FnError} invalid_argument INVALID_CONFIG for an entry that is no host */
  constructor(options: HttpPolicyOptions = {}) {
    this.#rules = (options.allow ?? []).map(ruleOf)
    this.#allowPrivate = options.allowPrivate ?? false
    this.#resolve = options.resolve ?? resolveAll
    this.lookup = (hostname, wanted, answer) => {
      this.addressesOf(hostname).then(
        ([first, ...others]) => {
          if (wanted.all) answer(null, [first as LookupAddress, ...others])
          else answer(null, (first as LookupAddress).address, (first as LookupAddress).family)
        },
        (thrown: NodeJS.ErrnoException) => answer(thrown, ""),
      )
    }
  }

  /** Refuses what is not on the list, and addresses that need no resolving. @throws {FnError} permission_denied CALLBACK_REFUSED */
  check(url: URL): void {
    const { hostname } = url
    const port = url.port || (DEFAULT_PORTS[url.protocol] as string)
    if (!this.#rules.some((rule) => matches(rule, hostname, port, DEFAULT_PORTS[url.protocol] === port)))
      throw refused(url.href, `${hostname}:${port} is not among the hosts the operator allows (--callback-allow)`)
    const address = hostname.replace(/^\[|\]$/g, "")
    if (isIP(address) !== 0 && !this.#mayReach(address)) throw refused(url.href, `${address} is not a public address`)
  }

  /** The addresses of a host that may be connected to. @throws {FnError} CALLBACK_REFUSED when it has none; the resolver's error */
  async addressesOf(hostname: string): Promise<LookupAddress[]> {
    const all = await this.#resolve(hostname)
    const allowed = all.filter(({ address }) => this.#mayReach(address))
    if (allowed.length > 0) return allowed
    throw FnError.of(
      "CALLBACK_REFUSED",
      `${hostname} has no public address: ${all.map(({ address }) => address).join(", ") || "none at all"}`,
    )
  }

  #mayReach(address: string): boolean {
    return this.#allowPrivate || isPublicAddress(address)
  }
}

/** Whether `entry` may be in {@link HttpPolicyOptions.allow}. */
export function isCallbackHost(entry: string): boolean {
  return parseRule(entry) !== undefined
}

function ruleOf(entry: string): Rule {
  const rule = parseRule(entry)
  if (rule) return rule
  throw FnError.of("INVALID_CONFIG", `${JSON.stringify(entry)} cannot be allowed as a callback: write host, host:port or *.example.com`)
}

function parseRule(entry: string): Rule | undefined {
  const [, pattern, port] = ENTRY.exec(entry.trim().toLowerCase()) ?? []
  const number = port === undefined || port === "*" ? 1 : Number(port)
  if (pattern === undefined || number < 1 || number > 65_535) return undefined
  const isWildcard = pattern.startsWith("*")
  return { host: isWildcard ? pattern.slice(1) : pattern, isWildcard, port }
}

function matches(rule: Rule, hostname: string, port: string, isDefaultPort: boolean): boolean {
  if (rule.port === undefined ? !isDefaultPort : rule.port !== "*" && rule.port !== port) return false
  if (!rule.isWildcard) return hostname === rule.host
  return rule.host === "" || (hostname.length > rule.host.length && hostname.endsWith(rule.host))
}

function resolveAll(hostname: string): Promise<LookupAddress[]> {
  return new Promise((resolve, reject) => {
    resolveName(hostname, { all: true }, (error, addresses) => (error ? reject(error) : resolve(addresses)))
  })
}
