/**
 * Questions to the runtime hosts: who is there, and what do they say of a function or an invocation. Only asked when something is wrong.
 */
import { FnError, type HostStatus, isId, RUNTIME_SERVICE_NAME, type StatusRequest, type Subjects } from "@fn/core"
import { type NatsConnection, publishRaw, type ReplyInbox } from "@fn/nats"

const PING_SUBJECT = `$SRV.PING.${RUNTIME_SERVICE_NAME}`
/** How long a host may take to say `PONG`. A host that is alive and not stuck answers in a millisecond. */
const DISCOVERY_MS = 250
/** How long a host may take to answer a question about its status. */
const STATUS_MS = 500

/** What came back from a host: its status, or that nobody listens there any more, or silence. */
export type HostAnswer = { readonly kind: "status"; readonly status: HostStatus } | { readonly kind: "gone" } | { readonly kind: "silent" }

/** Asks hosts over the client's own reply inbox. */
export class Hosts {
  readonly #nc: NatsConnection
  readonly #inbox: ReplyInbox
  readonly #subjects: Subjects

  constructor(nc: NatsConnection, inbox: ReplyInbox, subjects: Subjects) {
    this.#nc = nc
    this.#inbox = inbox
    this.#subjects = subjects
  }

  /** Whether `subject` is one that questions go to. */
  asksOn(subject: string): boolean {
    return subject === PING_SUBJECT || subject.startsWith(`${this.#subjects.functions}.status.`)
  }

  /**
   * Calls `onHost` with every live host's id as it answers (ADR-32 PING); resolves when the time for answers is over, or NATS says that
   * there is no host at all: false then.
   */
  discover(onHost: (host: string) => void): Promise<boolean> {
    return new Promise((resolve) => {
      const token = this.#inbox.open({
        onMessage: (msg) => {
          const host = hostOf(msg.data)
          if (host !== undefined) return onHost(host)
          if (msg.data.length === 0) end(false) // no responders: there is no host at all
        },
      })
      const timer = setTimeout(() => end(true), DISCOVERY_MS)
      const end = (isAnybodyThere: boolean): void => {
        clearTimeout(timer)
        this.#inbox.close(token)
        resolve(isAnybodyThere)
      }
      try {
        publishRaw(this.#nc, PING_SUBJECT, undefined, { reply: this.#inbox.subjectOf(token) })
      } catch {
        end(false) // the connection is closed: there is nobody to discover, and no call left to save
      }
    })
  }

  /** One question to one host. Never rejects: what went wrong is part of the answer. */
  async ask(host: string, question: StatusRequest): Promise<HostAnswer> {
    try {
      const msg = await this.#inbox.request(this.#subjects.status(host), {
        data: Buffer.from(JSON.stringify(question)),
        timeoutMs: STATUS_MS,
      })
      const status = JSON.parse(Buffer.from(msg.data).toString("utf8")) as HostStatus
      return Array.isArray(status.functions) ? { kind: "status", status } : { kind: "silent" }
    } catch (thrown) {
      return FnError.is(thrown) && thrown.reason === "NO_HOST" ? { kind: "gone" } : { kind: "silent" }
    }
  }

  /** Every live host's answer to one question. */
  async askAll(question: StatusRequest): Promise<Map<string, HostAnswer>> {
    const asked: Promise<[string, HostAnswer]>[] = []
    await this.discover((host) => asked.push(this.ask(host, question).then((answer) => [host, answer])))
    return new Map(await Promise.all(asked))
  }
}

function hostOf(pong: Uint8Array): string | undefined {
  if (pong.length === 0) return undefined
  try {
    const parsed = JSON.parse(Buffer.from(pong.buffer, pong.byteOffset, pong.byteLength).toString("utf8")) as { id?: unknown }
    return isId(parsed.id) ? parsed.id : undefined
  } catch {
    return undefined // whoever answers $SRV.PING with something else is no host
  }
}
