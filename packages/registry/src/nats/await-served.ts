/** The last step of a deploy: every live host has the new revision, or has said why not, before `deploy` returns. */
import {
  type FnErrorData,
  type FunctionRef,
  formatRef,
  type HostStatus,
  isId,
  messageOf,
  RUNTIME_SERVICE_NAME,
  type StatusRequest,
  Subjects,
} from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { NoRespondersError, RequestError, TimeoutError } from "@nats-io/transport-node"
import type { AwaitServed } from "../records.js"
import type { DeployProgress, HostResult } from "../registry.js"

/** Hosts answer a ping at once; one that does not within this is not counted as live. */
const DISCOVERY_MS = 250
/** Nor one that is so much behind the one before. */
const SILENCE_MS = 100
const TIMEOUT_MS = 5_000
/** A host answers this much before the time is up, so that the answer arrives in time. */
const ANSWER_MARGIN_MS = 250

/** What a host said, or that it kept silent, or that it is gone. */
type Answer = HostResult | "silent" | "gone"

/** Asks the hosts found by the ping of the NATS services protocol (ADR-32) for their status, all at once. */
export function createAwaitServed(nc: NatsConnection, prefix: string): AwaitServed {
  const subjects = new Subjects({ functions: prefix })
  return () => {
    const discovery = new Discovery(nc, prefix)
    return async (ref, revision, onProgress) => {
      const deadline = performance.now() + TIMEOUT_MS
      const asked = new Map<string, Promise<Answer>>()
      const progress: DeployProgress = { step: "hosts", found: 0, answered: 0 }
      let answered = 0
      const report = (): void => onProgress({ ...progress, found: asked.size, answered })
      const problem = await discovery.hear((host) => {
        const answer = ask(nc, subjects.status(host), host, ref, revision, deadline)
        asked.set(host, answer)
        report()
        void answer.then(() => {
          answered++
          report()
        })
      })
      if (problem !== undefined)
        return { hosts: [], warnings: [`the hosts could not be asked whether they serve it: ${messageOf(problem)}`] }
      return summarize(ref, await Promise.all([...asked].map(async ([host, answer]) => ({ host, answer: await answer }))))
    }
  }
}

/** Who is up. */
class Discovery {
  readonly #found = new Set<string>()
  /** Why it failed, if it did. */
  readonly #ended: Promise<unknown>
  #tell: (host: string) => void = () => undefined

  constructor(nc: NatsConnection, prefix: string) {
    this.#ended = this.#run(nc, prefix).catch((thrown: unknown) => thrown ?? new Error("it failed"))
  }

  /** Calls `onHost` with each host that was found or is found later; resolves at the end, with why it failed if it did. */
  hear(onHost: (host: string) => void): Promise<unknown> {
    this.#tell = onHost
    for (const host of this.#found) onHost(host)
    return this.#ended
  }

  async #run(nc: NatsConnection, prefix: string): Promise<void> {
    for await (const host of discover(nc, prefix)) {
      if (this.#found.has(host)) continue
      this.#found.add(host)
      this.#tell(host)
    }
  }
}

/** Ids of the hosts that are up. */
async function* discover(nc: NatsConnection, prefix: string): AsyncGenerator<string> {
  try {
    for await (const msg of await nc.requestMany(`$SRV.PING.${RUNTIME_SERVICE_NAME}`, "", {
      strategy: "stall",
      stall: SILENCE_MS,
      maxWait: DISCOVERY_MS,
    })) {
      const host = hostOfPong(msg.string(), prefix)
      if (host !== undefined) yield host
    }
  } catch (thrown) {
    if (!isNobody(thrown)) throw thrown
  }
}

/** The id in a pong; undefined for junk, and for hosts of another platform in the same account. */
function hostOfPong(text: string, prefix: string): string | undefined {
  try {
    const pong = JSON.parse(text) as { id?: unknown; metadata?: { prefix?: unknown } | null }
    const other = pong.metadata?.prefix
    if (other !== undefined && other !== prefix) return undefined
    return isId(pong.id) ? pong.id : undefined
  } catch {
    return undefined // anybody may answer a ping
  }
}

/** Never rejects. */
async function ask(
  nc: NatsConnection,
  subject: string,
  host: string,
  ref: FunctionRef,
  revision: number,
  deadline: number,
): Promise<Answer> {
  const leftMs = Math.max(1, Math.round(deadline - performance.now()))
  const name = formatRef({ namespace: ref.namespace, name: ref.name })
  const question: StatusRequest = { function: name, awaitRevision: revision, timeoutMs: Math.max(1, leftMs - ANSWER_MARGIN_MS) }
  try {
    const msg = await nc.request(subject, JSON.stringify(question), { timeout: leftMs })
    return resultOf(host, msg.json<Partial<HostStatus>>(), name, revision)
  } catch (thrown) {
    if (isNobody(thrown)) return "gone"
    if (thrown instanceof TimeoutError) return "silent"
    return { host, served: false, error: { code: "unknown", reason: "UNKNOWN", message: messageOf(thrown) } }
  }
}

function isNobody(thrown: unknown): boolean {
  return thrown instanceof NoRespondersError || (thrown instanceof RequestError && thrown.isNoResponders())
}

function resultOf(host: string, status: Partial<HostStatus>, name: string, revision: number): Answer {
  const fn = status.functions?.find((candidate) => candidate.function === name)
  if (fn && fn.revision >= revision) {
    if (fn.served) return { host, served: true }
    return fn.error ? { host, served: false, error: fn.error } : { host, served: false }
  }
  const problem = status.problems?.find(({ key }) => key === `f.${name.replace("/", ".")}`)
  return problem ? { host, served: false, error: problem.error } : "silent"
}

function summarize(ref: FunctionRef, answers: readonly { host: string; answer: Answer }[]): { hosts: HostResult[]; warnings: string[] } {
  const hosts: HostResult[] = []
  const silent: string[] = []
  for (const { host, answer } of answers) {
    if (answer === "silent") {
      silent.push(host)
      hosts.push({ host, served: false })
    } else if (answer !== "gone") hosts.push(answer)
  }
  const warnings: string[] = []
  if (hosts.length === 0) warnings.push("no runtime-service is running: nobody serves the function yet")
  else if (!hosts.some((host) => host.served) && silent.length < hosts.length) {
    const reasons = new Set(hosts.flatMap(({ error }) => (error ? errorText(error) : [])))
    warnings.push(`no host serves ${formatRef(ref)}${reasons.size > 0 ? `: ${[...reasons].join("; ")}` : ""}`)
  }
  if (silent.length > 0) warnings.push(`not served yet after ${TIMEOUT_MS} ms by ${silent.join(", ")}`)
  return { hosts, warnings }
}

function errorText(error: FnErrorData): string {
  return `${error.reason}: ${error.message}`
}
