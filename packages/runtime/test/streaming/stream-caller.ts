/** A caller of streams that knows nothing but NATS. */
import { newId } from "@fn/core"
import { until } from "@fn/testing"
import { createInbox, headers, type Msg, type NatsConnection } from "@nats-io/transport-node"

/** One message of a stream. */
export interface StreamMessage {
  readonly seq: number
  /** `Fn-End`; absent on events. */
  readonly end: string | undefined
  readonly type: string | undefined
  readonly data: unknown
  readonly msg: Msg
}

/** How to call. */
export interface StreamCallOptions {
  readonly headers?: Readonly<Record<string, string>>
  /** Grant credit for what came, in portions of 32. Default true. */
  readonly grants?: boolean
}

/** A stream under way. */
export class StreamCall implements Disposable {
  readonly invocationId: string = newId()
  readonly messages: StreamMessage[] = []
  /** `Fn-Started` of the started messages. */
  readonly started: string[] = []
  readonly #nc: NatsConnection
  readonly #end: () => void
  readonly #grants: boolean
  #ungranted = 0

  constructor(nc: NatsConnection, subject: string, event: { type: string; data: unknown }, options: StreamCallOptions = {}) {
    this.#nc = nc
    this.#grants = options.grants ?? true
    const inbox = createInbox()
    const subscription = nc.subscribe(inbox, { callback: (_error, msg) => this.#receive(msg) })
    this.#end = () => subscription.unsubscribe()
    const block = headers()
    const attributes = { "ce-specversion": "1.0", "ce-id": "e1", "ce-source": "/test", "ce-type": event.type }
    const own = { "Fn-Accept": "stream", "Fn-Invocation-Id": this.invocationId }
    for (const [name, value] of Object.entries({ ...own, ...attributes, ...options.headers })) block.set(name, value)
    nc.publish(subject, JSON.stringify(event.data), { reply: inbox, headers: block })
  }

  /** The last message, once the stream has ended. */
  ended(): Promise<StreamMessage> {
    return until(() => this.messages.find(({ end }) => end !== undefined), { name: "the end of the stream", timeoutMs: 30_000 })
  }

  /** Its events so far. */
  get events(): StreamMessage[] {
    return this.messages.filter(({ end }) => end === undefined)
  }

  /** The events, once there are `count`. */
  atLeast(count: number): Promise<StreamMessage[]> {
    const events = (): StreamMessage[] | undefined => (this.events.length >= count ? this.events : undefined)
    return until(events, { name: `${count} events of the stream`, timeoutMs: 30_000 })
  }

  /** Lets the host send so many more. */
  grant(count: number): void {
    const block = headers()
    block.set("Fn-Credit", String(count))
    this.#nc.publish(this.events.at(-1)?.msg.reply ?? "", "", { headers: block })
  }

  cancel(): void {
    this.#nc.publish(`function.cancel.default.${this.invocationId}`)
  }

  /** Goes away without a word. */
  [Symbol.dispose](): void {
    this.#end()
  }

  #receive(msg: Msg): void {
    const header = (name: string): string | undefined => msg.headers?.get(name) || undefined
    const started = header("Fn-Started")
    if (started !== undefined) return void this.started.push(started)
    const data = msg.data.length === 0 ? undefined : (msg.json() as unknown)
    this.messages.push({ seq: Number(header("Fn-Seq")), end: header("Fn-End"), type: header("ce-type"), data, msg })
    if (!this.#grants || header("Fn-End") !== undefined || ++this.#ungranted < 32) return
    this.#ungranted = 0
    this.grant(32)
  }
}
