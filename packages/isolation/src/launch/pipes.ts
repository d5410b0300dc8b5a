/** The descriptors of a child that starts: the caller's, and behind them those the start itself needs, which are gone when the command runs. */
import type { ChildProcess, IOType } from "node:child_process"
import { once } from "node:events"
import { type Duplex, PassThrough, type Readable } from "node:stream"
import { parseStatus, type SandboxStatus } from "./bubblewrap.js"

/** Which descriptor is which, by number. */
export interface PipeNumbers {
  readonly gate: number
  /** Only a sandbox has the others. */
  readonly options: number
  readonly status: number
  readonly seccomp: number
}

export function numberPipes(stdio: readonly (IOType | number)[]): PipeNumbers {
  const first = Math.max(3, stdio.length)
  return { gate: first, options: first + 1, status: first + 2, seccomp: first + 3 }
}

/** The list for `spawn`. */
export function allStdio(stdio: readonly (IOType | number)[], sandbox: { seccomp: boolean } | undefined): (IOType | number)[] {
  const own: (IOType | number)[] = [...stdio]
  while (own.length < 3) own.push("ignore")
  return [...own, "pipe", ...(sandbox ? (["pipe", "pipe"] as const) : []), ...(sandbox?.seccomp ? (["pipe"] as const) : [])]
}

/** The gate's end of the conversation with {@link gateScript}. */
export class GatePipe {
  readonly #pipe: Duplex
  /** Resolves when the limits are set and the gate waits. */
  readonly ready: Promise<void>

  constructor(pipe: Duplex) {
    this.#pipe = pipe
    // It breaks when the gate dies, of which the child's exit tells more.
    pipe.on("error", () => undefined)
    this.ready = new Promise((resolve) => pipe.once("data", () => resolve()))
  }

  open(line: string): void {
    this.#pipe.end(line)
  }

  close(): void {
    this.#pipe.destroy()
  }
}

/** Writes all of a descriptor that the child reads to its end. */
export function feed(pipe: Duplex, bytes: Buffer): void {
  pipe.on("error", () => undefined) // the child died: its exit tells more
  pipe.resume()
  pipe.end(bytes)
}

/** Follows bubblewrap's status descriptor. */
export class StatusPipe {
  readonly #pipe: Readable
  #text = ""

  constructor(pipe: Readable) {
    this.#pipe = pipe
    pipe.setEncoding("utf8")
    pipe.on("error", () => undefined)
    pipe.on("data", (text: string) => {
      this.#text += text
    })
  }

  get now(): SandboxStatus {
    return parseStatus(this.#text)
  }

  /** Resolves with the next thing it says; never, when it has nothing more to say: race it against the child's end. */
  more(): Promise<void> {
    return new Promise((resolve) => this.#pipe.once("data", () => resolve()))
  }

  /** Everything it said. */
  async all(): Promise<SandboxStatus> {
    if (!this.#pipe.closed) await once(this.#pipe, "close")
    return this.now
  }

  close(): void {
    this.#pipe.destroy()
  }
}

/**
 * An output of the child that nothing is lost of, however late somebody listens: Node itself throws away what a child wrote when the child
 * exits before there is a listener, and here a caller gets hold of the child only after its start.
 */
export function keptOutput(proc: ChildProcess, fd: 1 | 2): Readable | null {
  const pipe = fd === 1 ? proc.stdout : proc.stderr
  if (!pipe) return null
  const kept = new PassThrough()
  pipe.once("error", (thrown) => kept.destroy(thrown))
  return pipe.pipe(kept)
}
