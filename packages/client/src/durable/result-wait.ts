/**
 * Waiting for results.
 *
 * A result is published once, to the subject it is stored under. Who waits subscribes first and reads what is stored after that, so it is
 * missed by neither. The first that was stored is the result: a later attempt's is published too, but not stored. So a message is believed
 * at once only when nothing can have been stored before it unheard, that is when a read since the subscription found nothing and the
 * connection has not gone since. Otherwise, and for every message of a repeated attempt, the stored one decides.
 *
 * What is lost on the way is found by reading again: after a reconnect at once, else ever more seldom. A user who may not subscribe to
 * results gets them by reading alone.
 */
import { DeadlineSweep, FnError, Header, headerBlock, readHeaderBlock, SlabMap } from "@fn/core"
import { type ConnectionWatch, fromNatsError, rawHeaders } from "@fn/nats"
import { findResult, type QueueAccess } from "@fn/queue"
import { abortError } from "../call.js"

/** A result as it was published or stored. */
export interface RawResult {
  readonly block: Uint8Array | undefined
  readonly data: Uint8Array
}

/** How long to wait for a result. */
export interface WaitOptions {
  readonly timeoutMs: number
  readonly signal?: AbortSignal | undefined
}

/** One wait. */
export interface ResultWait {
  readonly result: Promise<RawResult>
  /** Resolves once it was looked whether the result is there already: false when it is not, or could not be read. Never rejects. */
  readonly looked: Promise<boolean>
  /** Ends the wait: `result` rejects with `error`. */
  end(error: FnError): void
}

/** A result that was published just before the subscription, and not stored yet when it was looked for, is there by then. */
const FIRST_PAUSE_MS = 50
const LAST_PAUSE_MS = 60_000
/** Pauses of a user who may not subscribe to results: for such a one, looking is all there is. */
const DEAF_PAUSE_MS = { first: 50, last: 2_000 }
const PAUSE_FACTOR = 4
/** A stored result may take a moment to reach the replica that is asked. */
const CONFIRM_PAUSE_MS = 50
const CONFIRM_LOOKS = 4
/** Reads under way at the same time: after a reconnect every result that is waited for is read. */
const MAX_LOOKS = 64
const LOOK_TIMEOUT_MS = 2_000
/** A read that fails so will fail again. */
const LASTING: ReadonlySet<string> = new Set(["NOT_SET_UP", "JETSTREAM_OFF", "NATS_PERMISSION"])

/** One caller who waits. */
interface Waiter {
  settle(result: RawResult): void
  end(error: FnError): void
  expire(): void
}

/** A result that somebody waits for, and what is known of it. */
class FollowedResult {
  readonly subject: string
  readonly namespace: string
  readonly id: string
  readonly waiters: Set<Waiter> = new Set()
  readonly onLooked: ((found: boolean) => void)[] = []
  unsubscribe: () => void = () => undefined
  hasLooked = false
  looking = false
  /** Nothing can have been stored unheard: the next message is the first. */
  clean = false
  /** How often the connection was lost. */
  cuts = 0
  /** A message that is not known to be the stored one. */
  heard: RawResult | undefined
  confirmLooks = 0
  pauseMs = FIRST_PAUSE_MS
  pauseSlot = -1
  /** It cannot be heard, only read. */
  deaf = false
  /** Why the last read failed. */
  problem: FnError | undefined

  constructor(subject: string, namespace: string, id: string) {
    this.subject = subject
    this.namespace = namespace
    this.id = id
  }

  tellLooked(found: boolean): void {
    this.hasLooked = true
    for (const tell of this.onLooked.splice(0)) tell(found)
  }
}

/** Everybody's waits of one client. */
export class ResultWaits {
  readonly #access: QueueAccess
  readonly #connection: ConnectionWatch
  readonly #followed = new SlabMap<string, FollowedResult>()
  readonly #deadlines = new DeadlineSweep<Waiter>((waiter) => waiter.expire())
  readonly #pauses = new DeadlineSweep<FollowedResult>((followed) => this.#look(followed), 50)
  readonly #toLook = new Set<FollowedResult>()
  readonly #stopListening: readonly (() => void)[]
  #looks = 0

  constructor(access: QueueAccess, connection: ConnectionWatch) {
    this.#access = access
    this.#connection = connection
    this.#stopListening = [
      connection.onDisconnect(() => {
        for (const followed of this.#followed.values()) {
          followed.clean = false
          followed.cuts++
        }
      }),
      connection.onReconnect(() => {
        for (const followed of this.#followed.values()) {
          followed.pauseMs = followed.deaf ? DEAF_PAUSE_MS.first : FIRST_PAUSE_MS
          this.#look(followed)
        }
      }),
    ]
  }

  /** Results that are waited for. */
  get size(): number {
    return this.#followed.size
  }

  /** Waits for a result. @throws {FnError} invalid_argument INVALID_NAME; unavailable DISCONNECTED when the connection is closed for good */
  wait(namespace: string, id: string, options: WaitOptions): ResultWait {
    const subject = this.#access.names.subjects.result(namespace, id)
    const followed = this.#followed.get(subject) ?? this.#follow(new FollowedResult(subject, namespace, id))
    const looked = followed.hasLooked ? Promise.resolve(false) : new Promise<boolean>((resolve) => followed.onLooked.push(resolve))
    return { ...this.#join(followed, options), looked }
  }

  /** Ends every wait. */
  close(error: FnError): void {
    for (const stop of this.#stopListening) stop()
    for (const followed of [...this.#followed.values()]) this.#fail(followed, error)
    this.#deadlines.close()
    this.#pauses.close()
  }

  #follow(followed: FollowedResult): FollowedResult {
    const { nc } = this.#access
    try {
      const subscription = nc.subscribe(followed.subject, {
        callback: (refused, msg) => {
          if (refused) this.#goDeaf(followed)
          else this.#hear(followed, { block: rawHeaders(msg), data: msg.data })
        },
      })
      followed.unsubscribe = () => subscription.unsubscribe()
    } catch (thrown) {
      throw fromNatsError(thrown, `subscribing to ${followed.subject}`)
    }
    this.#followed.set(followed.subject, followed)
    this.#look(followed)
    return followed
  }

  #join(followed: FollowedResult, { timeoutMs, signal }: WaitOptions): Pick<ResultWait, "result" | "end"> {
    let end!: (error: FnError) => void
    const result = new Promise<RawResult>((resolve, reject) => {
      const leave = (): void => {
        this.#deadlines.delete(waiter, slot)
        signal?.removeEventListener("abort", onAbort)
        followed.waiters.delete(waiter)
        if (followed.waiters.size === 0) this.#forget(followed)
      }
      const waiter: Waiter = {
        settle: (raw) => {
          leave()
          resolve(raw)
        },
        end: (error) => {
          leave()
          reject(error)
        },
        expire: () => waiter.end(this.#expired(followed, timeoutMs)),
      }
      const onAbort = (): void => waiter.end(abortError(signal?.reason))
      const slot = this.#deadlines.add(waiter, performance.now() + timeoutMs)
      followed.waiters.add(waiter)
      end = waiter.end
      if (signal?.aborted) onAbort()
      else signal?.addEventListener("abort", onAbort, { once: true })
    })
    return { result, end }
  }

  #hear(followed: FollowedResult, result: RawResult): void {
    if (followed.clean && !isRepeated(result)) return this.#settle(followed, result)
    followed.heard ??= result
    this.#look(followed)
  }

  /** Whoever may subscribe to results may hear everybody's, so not everybody may. */
  #goDeaf(followed: FollowedResult): void {
    followed.deaf = true
    followed.pauseMs = DEAF_PAUSE_MS.first
    this.#look(followed)
  }

  #settle(followed: FollowedResult, result: RawResult): void {
    followed.tellLooked(true)
    this.#forget(followed)
    for (const waiter of [...followed.waiters]) waiter.settle(result)
  }

  #fail(followed: FollowedResult, error: FnError): void {
    this.#forget(followed)
    for (const waiter of [...followed.waiters]) waiter.end(error)
  }

  #forget(followed: FollowedResult): void {
    if (this.#followed.get(followed.subject) !== followed) return
    this.#followed.delete(followed.subject)
    this.#toLook.delete(followed)
    this.#pauses.delete(followed, followed.pauseSlot)
    followed.unsubscribe()
    followed.tellLooked(false)
  }

  /** Reads what is stored, as soon as there is room for another read. */
  #look(followed: FollowedResult): void {
    if (followed.looking || this.#followed.get(followed.subject) !== followed) return
    this.#pauses.delete(followed, followed.pauseSlot)
    this.#toLook.add(followed)
    this.#startLooks()
  }

  #startLooks(): void {
    for (const followed of this.#toLook) {
      if (this.#looks >= MAX_LOOKS) return
      this.#toLook.delete(followed)
      void this.#read(followed)
    }
  }

  async #read(followed: FollowedResult): Promise<void> {
    const { namespace, id, cuts } = followed
    this.#looks++
    followed.looking = true
    const found = await findResult(this.#access, namespace, id, { timeoutMs: LOOK_TIMEOUT_MS }).catch((thrown: unknown) =>
      FnError.from(thrown, "unavailable"),
    )
    followed.looking = false
    this.#looks--
    if (this.#followed.get(followed.subject) === followed) {
      if (found === undefined) this.#foundNothing(followed, followed.cuts === cuts)
      else if (found instanceof FnError) this.#couldNotRead(followed, found)
      else this.#settle(followed, { block: headerBlock(found.lines), data: found.data })
    }
    this.#startLooks()
  }

  #foundNothing(followed: FollowedResult, unbroken: boolean): void {
    followed.clean = unbroken
    followed.problem = undefined
    followed.tellLooked(false)
    const { heard } = followed
    if (heard === undefined) return this.#lookLater(followed)
    if ((unbroken && !isRepeated(heard)) || ++followed.confirmLooks >= CONFIRM_LOOKS) return this.#settle(followed, heard)
    this.#lookLater(followed, CONFIRM_PAUSE_MS)
  }

  #couldNotRead(followed: FollowedResult, error: FnError): void {
    if (LASTING.has(error.reason)) return this.#fail(followed, error)
    followed.problem = error
    followed.tellLooked(false)
    this.#lookLater(followed)
  }

  #lookLater(followed: FollowedResult, pauseMs?: number): void {
    followed.pauseSlot = this.#pauses.add(followed, performance.now() + (pauseMs ?? followed.pauseMs))
    if (pauseMs !== undefined) return
    const lastMs = followed.deaf ? DEAF_PAUSE_MS.last : LAST_PAUSE_MS
    followed.pauseMs = Math.min(lastMs, followed.pauseMs * (followed.deaf ? 2 : PAUSE_FACTOR))
  }

  #expired({ namespace, id, problem }: FollowedResult, timeoutMs: number): FnError {
    if (!this.#connection.connected) return FnError.of("DISCONNECTED", `not connected to NATS while waiting for the result of ${id}`)
    if (problem) return problem
    return FnError.of(
      "DEADLINE_EXCEEDED",
      `no result of ${id} within ${timeoutMs} ms: it is still pending, or there is no such invocation`,
      {
        details: { pending: true, namespace, invocationId: id },
      },
    )
  }
}

/** Whether a result is that of a second or later attempt. */
function isRepeated({ block }: RawResult): boolean {
  let attempt = 1
  if (block) {
    readHeaderBlock(block, (name, value) => {
      if (name === Header.attempt) attempt = Number(value)
    })
  }
  return attempt > 1
}
