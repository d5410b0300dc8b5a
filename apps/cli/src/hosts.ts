/** Asks the hosts of a platform about themselves: found by the ping of NATS services (ADR-32), then asked one by one, all at once. */
import { type HostStatus, isId, RUNTIME_SERVICE_NAME, type StatusRequest, Subjects } from "@fn/core"
import type { NatsConnection, NatsOptions } from "@fn/nats"

/** Hosts answer a ping at once; one that does not within this is not counted as live. */
const DISCOVERY_MS = 250
const STATUS_MS = 2_000

/** A host, and what it answered; nothing where it kept silent. */
export interface HostReport {
  readonly host: string
  readonly status?: HostStatus
}

/** Every live host's answer, in the order of their ids. None where there is no host. */
export async function askHosts(nc: NatsConnection, { prefix }: NatsOptions, question: StatusRequest): Promise<HostReport[]> {
  const subjects = new Subjects(prefix === undefined ? {} : { functions: prefix })
  const asked = new Map<string, Promise<HostReport>>()
  const pongs = await nc.requestMany(`$SRV.PING.${RUNTIME_SERVICE_NAME}`, "", { strategy: "timer", maxWait: DISCOVERY_MS })
  for await (const pong of untilNobody(pongs)) {
    const host = hostOfPong(pong.string(), subjects.functions)
    if (host !== undefined && !asked.has(host)) asked.set(host, ask(nc, subjects.status(host), host, question))
  }
  const reports = await Promise.all(asked.values())
  return reports.sort((a, b) => a.host.localeCompare(b.host))
}

/** Without the error by which NATS says that there is nobody to answer. */
async function* untilNobody<T>(messages: AsyncIterable<T>): AsyncGenerator<T> {
  try {
    yield* messages
  } catch (thrown) {
    if (!(thrown instanceof Error) || !/no responders/i.test(`${thrown.name} ${thrown.message}`)) throw thrown
  }
}

/** The id in a pong; undefined for junk, and for hosts of another platform in the same account. */
function hostOfPong(text: string, prefix: string): string | undefined {
  try {
    const { id, metadata } = JSON.parse(text) as { id?: unknown; metadata?: { prefix?: unknown } | null }
    const other = metadata?.prefix
    return isId(id) && (other === undefined || other === prefix) ? id : undefined
  } catch {
    return undefined // anybody may answer a ping
  }
}

/** Never rejects. */
async function ask(nc: NatsConnection, subject: string, host: string, question: StatusRequest): Promise<HostReport> {
  try {
    const status = (await nc.request(subject, JSON.stringify(question), { timeout: STATUS_MS })).json<HostStatus>()
    return Array.isArray(status.functions) ? { host, status } : { host }
  } catch {
    return { host } // it went away, or is too busy to say
  }
}
