/**
 * Finds the calls whose host died.
 *
 * NATS tells a caller when nobody listens, but not when the one who took the message dies. What a caller can know:
 * a host says *started* once it has held a call for 100 ms, so a call is in one of two states.
 *  - Started on host H, and silent for a second: H is asked whether it still has it, every second. Nobody listens there, or H denies it or
 *    keeps silent twice in a row: the call is lost.
 *  - Not started after a second: no live host can have it, or it would have said so. Every live host is asked; when all deny it twice, the
 *    host that took it died within those first 100 ms.
 * Either way the caller knows within 3 s of the host's death. A call that ends sooner costs this watch nothing.
 */
import { FnError, type StatusRequest } from "@fn/core"
import type { HostAnswer, Hosts } from "./hosts.js"

/** A call is looked into when it has been silent this long. */
const SILENCE_MS = 1_000
/** After a first bad sign the second look comes this much later, not in the next round: the whole search has to fit into 3 s. */
const DOUBT_MS = 500
const TICK_MS = 100
/** Questions to one host in one tick: 10 000 silent calls must not become 10 000 questions at once. */
const QUESTIONS_PER_TICK = 64

/** What the watch keeps about a call, as a part of the call. */
export class CallPulse {
  /** Host that said it started the call. */
  host: string | undefined
  /** When to look at the call next, performance.now() ms. Not before it is sent. */
  lookAt: number = Number.POSITIVE_INFINITY
  /** Bad signs in a row: denials, or silence of its host. */
  doubts = 0
  /** A question about it is under way. */
  asking = false
  /** No host is expected to have it. */
  paused = false

  /** The call left for whatever host takes it. */
  sent(now: number): void {
    this.host = undefined
    this.paused = false
    this.doubts = 0
    this.lookAt = now + SILENCE_MS
  }

  /** It is known that no host has it: until one says that it does, answers to questions that are under way mean nothing. */
  pause(): void {
    this.host = undefined
    this.paused = true
    this.lookAt = Number.POSITIVE_INFINITY
  }

  /** The host said so itself. */
  started(host: string): void {
    this.host = host
    this.paused = false
    this.reassure()
  }

  /** The call is known to live. */
  reassure(): void {
    this.doubts = 0
    this.lookAt = performance.now() + SILENCE_MS
  }

  doubt(afterMs: number): void {
    this.doubts++
    this.lookAt = performance.now() + afterMs
  }
}

/** A call that waits for its reply. */
export interface WatchedCall {
  readonly invocationId: string
  /** `namespace/name`. */
  readonly functionKey: string
  readonly pulse: CallPulse
  /** Nothing is awaited any more. */
  readonly ended: boolean
  fail(error: FnError): void
}

/** One watch per client. Runs while calls are in flight. */
export class LostCallWatch {
  readonly #hosts: Hosts
  readonly #calls: Iterable<WatchedCall>
  #timer: NodeJS.Timeout | undefined
  #sweeping = false
  #blind = false

  /** `calls` are the calls in flight. */
  constructor(hosts: Hosts, calls: Iterable<WatchedCall>) {
    this.#hosts = hosts
    this.#calls = calls
  }

  /** There is a call in flight. Cheap when the watch runs already. */
  wake(): void {
    if (!this.#blind) this.#timer ??= setInterval(() => this.#tick(), TICK_MS)
  }

  /** The questions are not permitted to this NATS user: no answer means nothing then, and calls run into their deadline. */
  blind(): void {
    this.#blind = true
    this.close()
  }

  /** Stops looking. */
  close(): void {
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  #tick(): void {
    const now = performance.now()
    const suspects: WatchedCall[] = []
    const asked = new Map<string, number>()
    let inFlight = 0
    for (const call of this.#calls) {
      inFlight++
      const { pulse } = call
      if (pulse.asking || pulse.lookAt > now) continue
      if (pulse.host === undefined) {
        suspects.push(call)
        continue
      }
      const questions = asked.get(pulse.host) ?? 0
      if (questions >= QUESTIONS_PER_TICK) continue
      asked.set(pulse.host, questions + 1)
      void this.#askHost(call, pulse.host)
    }
    if (inFlight === 0) return this.close()
    if (suspects.length > 0 && !this.#sweeping) void this.#sweep(suspects)
  }

  /** A started call that is silent: does its host still have it? */
  async #askHost(call: WatchedCall, host: string): Promise<void> {
    const { pulse } = call
    pulse.asking = true
    const answer = await this.#hosts.ask(host, questionAbout(call))
    pulse.asking = false
    if (call.ended || pulse.host !== host || this.#blind) return
    if (answer.kind === "gone") return this.#lose(call, `host ${host} is gone`)
    if (has(answer)) return pulse.reassure()
    // A silent host has had its time already; one that denies may have its reply on the way.
    pulse.doubt(answer.kind === "silent" ? 0 : DOUBT_MS)
    if (pulse.doubts >= 2)
      this.#lose(call, answer.kind === "silent" ? `host ${host} does not answer` : `host ${host} no longer has the call`)
  }

  /** Calls that no host claimed in time: does any live host have them? */
  async #sweep(suspects: readonly WatchedCall[]): Promise<void> {
    this.#sweeping = true
    // Started messages that arrive meanwhile settle the matter for their call.
    const waiting = (call: WatchedCall): boolean => !call.ended && call.pulse.host === undefined && !call.pulse.paused
    const spared = new Set<WatchedCall>()
    const questions: Promise<void>[] = []
    let hosts = 0
    const isAnybodyThere = await this.#hosts.discover((host) => {
      hosts++
      for (const call of suspects.filter(waiting)) questions.push(this.#askSuspect(call, host, spared))
    })
    await Promise.all(questions)
    this.#sweeping = false
    if (this.#blind) return
    for (const call of suspects.filter(waiting)) {
      // Hosts that are there and do not even say so are too busy to judge by.
      if (spared.has(call) || (hosts === 0 && isAnybodyThere)) {
        call.pulse.reassure()
        continue
      }
      call.pulse.doubt(DOUBT_MS)
      if (call.pulse.doubts >= 2) this.#lose(call, hosts === 0 ? "no host is left" : "none of the live hosts has the call")
    }
  }

  async #askSuspect(call: WatchedCall, host: string, spared: Set<WatchedCall>): Promise<void> {
    const answer = await this.#hosts.ask(host, questionAbout(call))
    // A host that answered PING but not this is too busy to judge by: it may well have the call.
    if (answer.kind === "silent") spared.add(call)
    if (has(answer) && call.pulse.host === undefined) call.pulse.started(host)
  }

  #lose(call: WatchedCall, why: string): void {
    call.fail(FnError.of("HOST_LOST", `the host that took the call was lost: ${why}; the function may have run`))
  }
}

/** Naming the function keeps the status of all others out of the answer. */
function questionAbout(call: WatchedCall): StatusRequest {
  return { function: call.functionKey, invocationId: call.invocationId }
}

function has(answer: HostAnswer): boolean {
  return answer.kind === "status" && answer.status.runningInvocation === true
}
