import type { Delivery } from "./delivery.js"
import { type LaneRunner, Worker, type WorkerOptions } from "./worker.js"

/** The workers of a host, by the end of their lane's subject: one for each function that has work, and those that finish for one that is gone. */
export class Workers {
  readonly #options: WorkerOptions
  readonly #working = new Map<string, Worker>()
  readonly #leaving = new Set<Worker>()
  #stopped = false

  /** `onIdle` hears of workers that were forgotten, since they have nothing more to do. */
  constructor(options: WorkerOptions) {
    this.#options = options
  }

  get size(): number {
    return this.#working.size
  }

  get(tail: string): Worker | undefined {
    return this.#working.get(tail)
  }

  /** The worker of a lane; undefined once no more is to be worked on. */
  ensure(tail: string, runner: (worker: Worker) => LaneRunner): Worker | undefined {
    if (this.#stopped) return undefined
    const known = this.#working.get(tail)
    if (known) return known
    const worker = new Worker({ ...this.#options, onIdle: (idle) => this.#idled(tail, idle) }, runner)
    this.#working.set(tail, worker)
    return worker
  }

  /** Nothing more for the worker of a lane; it finishes what it runs. */
  leave(tail: string): void {
    const worker = this.#working.get(tail)
    if (!worker) return
    this.#working.delete(tail)
    this.#leaving.add(worker)
    this.#options.consumers.forget(worker.lane)
    worker.runner.gone()
    worker.stop()
    void worker.held.empty().then(() => this.#leaving.delete(worker))
  }

  /** The delivery of an invocation that is held here, and by whom. */
  find(namespace: string, invocationId: string): { readonly worker: Worker; readonly delivery: Delivery } | undefined {
    for (const worker of this.#all()) {
      if (worker.runner.ref.namespace !== namespace) continue
      const delivery = worker.held.find(invocationId)
      if (delivery) return { worker, delivery }
    }
    return undefined
  }

  /** The connection is back. */
  reconnected(): void {
    for (const worker of this.#all()) worker.reconnected()
  }

  /** Nothing more is pulled. */
  stop(): void {
    this.#stopped = true
    for (const worker of this.#working.values()) worker.stop()
  }

  /** Resolves when nothing is held any more. */
  async idle(): Promise<void> {
    await Promise.all(this.#all().map((worker) => worker.held.empty()))
  }

  /** Gives back at once what is held. */
  handBack(): void {
    for (const worker of this.#all()) worker.handBack()
    this.#working.clear()
  }

  #all(): Worker[] {
    return [...this.#working.values(), ...this.#leaving]
  }

  #idled(tail: string, worker: Worker): void {
    if (this.#working.get(tail) !== worker) return
    this.#working.delete(tail)
    this.#options.onIdle(worker)
  }
}
