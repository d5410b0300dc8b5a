import { FnError } from "./errors.js"
import { invalidEvent } from "./event/event.js"
import { checkId, checkLanguage, checkName, checkNamespace, DEFAULT_NAMESPACE, type FunctionRef } from "./names.js"

/** First tokens of every subject; streams and buckets take `functions` too, so two platforms fit one account. */
export interface SubjectPrefixes {
  /** Default `function`. */
  readonly functions?: string
  /** Default `event`. */
  readonly events?: string
}

const PREFIX = /^[A-Za-z0-9_-]{1,32}$/
/** Last token of {@link Subjects.callbackQueue}. */
export const CALLBACK_TOKEN = "=callback"
const EVENT_BYTE = /^[A-Za-z0-9_-]$/
/** nats-server closes the connection of who sends a protocol line past 4096 bytes: subject, reply subject and sizes together. */
const MAX_EVENT_SUBJECT = 1024

/** Builds every subject of the platform, each token checked. Design: docs/protocol.md#subjects. */
export class Subjects {
  readonly functions: string
  readonly events: string

  constructor(prefixes: SubjectPrefixes = {}) {
    this.functions = checkPrefix(prefixes.functions ?? "function")
    this.events = checkPrefix(prefixes.events ?? "event")
  }

  /** `function.{language}[.{namespace}].{name}`: request; one sync invocation. The default namespace is left out. */
  invoke(ref: FunctionRef, language: string): string {
    const head = `${this.functions}.${checkLanguage(language)}`
    if (ref.namespace === DEFAULT_NAMESPACE) return `${head}.${checkName(ref.name)}`
    return `${head}.${checkNamespace(ref.namespace)}.${checkName(ref.name)}`
  }

  /** `function.{language}`: queue group of {@link invoke}. */
  invokeQueue(language: string): string {
    return `${this.functions}.${checkLanguage(language)}`
  }

  /** `function.invoke`: request with the JSON envelope. */
  get envelope(): string {
    return `${this.functions}.invoke`
  }

  /** `function`: queue group of {@link envelope}. */
  get envelopeQueue(): string {
    return this.functions
  }

  /** `function.result.{id}` or `function.result.{namespace}.{id}`. */
  result(namespace: string, id: string): string {
    const head = `${this.functions}.result`
    return namespace === DEFAULT_NAMESPACE
      ? `${head}.${checkId(id, "invocation id")}`
      : `${head}.${checkNamespace(namespace)}.${checkId(id, "invocation id")}`
  }

  /** `function.host.{host}.invoke`: hand-over of one sync invocation to one host. */
  hostInvoke(host: string): string {
    return `${this.functions}.host.${checkId(host, "host id")}.invoke`
  }

  /** `function.cancel.{namespace}.{id}`. */
  cancel(namespace: string, id: string): string {
    return `${this.functions}.cancel.${checkNamespace(namespace)}.${checkId(id, "invocation id")}`
  }

  /** `function.cancel.{namespace}.{id}.queued`: as {@link cancel}, kept by the server for hosts that meet the invocation later. */
  cancelQueued(namespace: string, id: string): string {
    return `${this.cancel(namespace, id)}.queued`
  }

  /** `function.cancel.*.*.queued`: all that is kept of cancels. */
  get cancelQueuedAll(): string {
    return `${this.functions}.cancel.*.*.queued`
  }

  /** `function.cancel.>`: what a host listens to. */
  get cancelAll(): string {
    return `${this.functions}.cancel.>`
  }

  /** `function.status.{host}`: with a reply subject a question, without one a report. */
  status(host: string): string {
    return `${this.functions}.status.${checkId(host, "host id")}`
  }

  /** `function.status.*`: reports of every host. */
  get statusAll(): string {
    return `${this.functions}.status.*`
  }

  /**
   * `function.status.{host}.load`: reports of a host about functions that calls wait for. Not {@link status} itself: who listens to all
   * hosts there would keep the server from telling a caller that the host it asks is gone.
   */
  load(host: string): string {
    return `${this.status(host)}.load`
  }

  /** `function.status.*.load`: what a host listens to. */
  get loadAll(): string {
    return `${this.statusAll}.load`
  }

  /** `function.health.{host}`: a question. */
  health(host: string): string {
    return `${this.functions}.health.${checkId(host, "host id")}`
  }

  /** `function.broadcast.{namespace}.{name}`: one event for the function on every host. */
  broadcast(ref: FunctionRef): string {
    return `${this.functions}.broadcast.${scoped(ref)}`
  }

  /** `function.broadcast.>`: what a host listens to. */
  get broadcastAll(): string {
    return `${this.functions}.broadcast.>`
  }

  /** `function.queue.{namespace}.{name}`: durable invocation; captured by FUNCTION_QUEUE. */
  queue(ref: FunctionRef): string {
    return `${this.functions}.queue.${scoped(ref)}`
  }

  /** `function.queue.{namespace}.=callback`: deliveries of results to callbacks. `=` is in no function's name. */
  callbackQueue(namespace: string): string {
    return `${this.functions}.queue.${checkNamespace(namespace)}.${CALLBACK_TOKEN}`
  }

  /** `function.queue.>`: all of the queue. */
  get queueAll(): string {
    return `${this.functions}.queue.>`
  }

  /** `function.wake.>`: the headers of what enters the queue, republished by the server. */
  get wakeAll(): string {
    return `${this.functions}.wake.>`
  }

  /** `function.result.>`: the two forms of {@link result}, as a stream's subjects. */
  get resultAll(): string[] {
    return [`${this.functions}.result.*`, `${this.functions}.result.*.*`]
  }

  /** `function.execution.{namespace}.{name}.{status}.{id}`; `running` is only published, the rest is stored. */
  execution(ref: FunctionRef, status: string, id: string): string {
    return `${this.functions}.execution.${scoped(ref)}.${status}.${checkId(id, "invocation id")}`
  }

  /** Pattern of {@link execution}, every token that is not given a wildcard. */
  executions(only: { namespace?: string; name?: string; status?: string; id?: string } = {}): string {
    const { namespace, name, status, id } = only
    return [
      `${this.functions}.execution`,
      namespace === undefined ? "*" : checkNamespace(namespace),
      name === undefined ? "*" : checkName(name),
      status ?? "*",
      id === undefined ? "*" : checkId(id, "invocation id"),
    ].join(".")
  }

  /** `function.claim.{namespace}.{id}`: who runs an invocation with an idempotency key. */
  claim(namespace: string, id: string): string {
    return `${this.functions}.claim.${checkNamespace(namespace)}.${checkId(id, "invocation id")}`
  }

  /** `function.claim.>`. */
  get claimAll(): string {
    return `${this.functions}.claim.>`
  }

  /** `function.dlq.{namespace}.{name}`: dead letters. */
  deadLetter(ref: FunctionRef): string {
    return `${this.functions}.dlq.${scoped(ref)}`
  }

  /** Pattern of {@link deadLetter}. */
  deadLetters(only: { namespace?: string; name?: string } = {}): string {
    const { namespace, name } = only
    const scope = namespace === undefined ? "*" : checkNamespace(namespace)
    return `${this.functions}.dlq.${scope}.${name === undefined ? "*" : checkName(name)}`
  }

  /**
   * `event.{namespace}.{type}`: where an emitted event goes. The type is split at dots; other bytes are `=HH`, an empty token `=`.
   * @throws {FnError} invalid_argument INVALID_EVENT for a type so long that the subject passes 1024 bytes
   */
  event(namespace: string, type: string): string {
    const subject = `${this.events}.${checkNamespace(namespace)}.${eventTokens(type)}`
    if (subject.length > MAX_EVENT_SUBJECT)
      throw invalidEvent("type", `its subject would have ${subject.length} bytes, more than ${MAX_EVENT_SUBJECT}`)
    return subject
  }
}

function scoped(ref: FunctionRef): string {
  return `${checkNamespace(ref.namespace)}.${checkName(ref.name)}`
}

const typeTokens = new Map<string, string>()

function eventTokens(type: string): string {
  const known = typeTokens.get(type)
  if (known !== undefined) return known
  const tokens = type.split(".").map(eventToken).join(".")
  // Types come from a fixed set in practice; a caller that invents one per event must not grow this map for ever.
  if (typeTokens.size >= 4096) typeTokens.clear()
  typeTokens.set(type, tokens)
  return tokens
}

function eventToken(token: string): string {
  if (token === "") return "="
  let out = ""
  for (const byte of Buffer.from(token, "utf8")) {
    const char = String.fromCharCode(byte)
    out += EVENT_BYTE.test(char) ? char : `=${byte.toString(16).toUpperCase().padStart(2, "0")}`
  }
  return out
}

function checkPrefix(prefix: string): string {
  if (!PREFIX.test(prefix))
    throw FnError.of("INVALID_NAME", `${JSON.stringify(prefix)} cannot be a subject prefix: it must be one NATS token`)
  return prefix
}
