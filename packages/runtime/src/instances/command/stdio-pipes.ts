/**
 * Real pipes for a child's stdout and stderr.
 *
 * Node gives children sockets, and a socket cannot be opened by its name: `echo … > /dev/stderr` would fail in every script. Node has no pipe(2)
 * either, but it can open a named pipe at both ends. The names are made in batches by one mkfifo, each is used once and gone as soon as both
 * ends are open. (For stdin a named pipe would not do: opened as /dev/stdin once the event is written, it waits for another writer.)
 */
import { closeSync, constants, openSync, unlinkSync } from "node:fs"
import { Socket } from "node:net"
import { join } from "node:path"
import type { Readable } from "node:stream"
import { newId } from "@fn/core"
import { findOnPath, spawnChild } from "@fn/process"

/** Our ends, and the child's. */
export interface StdioPipes {
  readonly stdout: Readable
  readonly stderr: Readable
  /** Descriptors for the child: its stdout and stderr. */
  readonly childEnds: readonly [number, number]
  /** Closes the child's ends in this process. To be called once it has them, or does not start. */
  release(): void
}

const BATCH = 16
const NAMES_PER_SET = 2
const { O_RDONLY, O_WRONLY, O_NONBLOCK } = constants

/** Makes pipes in a folder of ours. */
export class PipeStore {
  readonly #folder: string
  readonly #mkfifo = findOnPath("mkfifo") ?? findOnPath("mkfifo", "/usr/bin:/bin")
  #names: string[] = []
  #making: Promise<boolean> | undefined

  constructor(folder: string) {
    this.#folder = folder
  }

  /** A pair of pipes, or undefined where there is no mkfifo: sockets will have to do then. */
  async take(): Promise<StdioPipes | undefined> {
    if (this.#mkfifo === undefined) return undefined
    while (this.#names.length < NAMES_PER_SET) if (!(await this.#make(this.#mkfifo))) return undefined
    const names = this.#names.splice(0, NAMES_PER_SET) as [string, string]
    if (this.#names.length < NAMES_PER_SET) void this.#make(this.#mkfifo) // ahead of the next call
    return openPipes(names)
  }

  /** Resolves when nothing of ours runs any more. The folder goes with its owner. */
  async close(): Promise<void> {
    await this.#making
  }

  #make(mkfifo: string): Promise<boolean> {
    this.#making ??= this.#makeBatch(mkfifo).finally(() => {
      this.#making = undefined
    })
    return this.#making
  }

  async #makeBatch(mkfifo: string): Promise<boolean> {
    const names = Array.from({ length: BATCH * NAMES_PER_SET }, () => join(this.#folder, `${newId()}.pipe`))
    // Open to all: a child of another user may open its own stdin by name. The folder is not.
    const made = spawnChild({ command: mkfifo, args: ["-m", "666", ...names], env: {}, stdio: "ignore" })
    if ((await made.exited).code !== 0) return false
    this.#names.push(...names)
    return true
  }
}

function openPipes([stdoutName, stderrName]: [string, string]): StdioPipes {
  const opened: number[] = []
  const open = (name: string, flags: number): number => {
    const fd = openSync(name, flags)
    opened.push(fd)
    return fd
  }
  try {
    // Opening one end waits for the other unless it may not block; the child's ends have to block.
    const fromStdout = open(stdoutName, O_RDONLY | O_NONBLOCK)
    const stdout = open(stdoutName, O_WRONLY)
    const fromStderr = open(stderrName, O_RDONLY | O_NONBLOCK)
    const stderr = open(stderrName, O_WRONLY)
    return {
      stdout: new Socket({ fd: fromStdout, readable: true, writable: false }),
      stderr: new Socket({ fd: fromStderr, readable: true, writable: false }),
      childEnds: [stdout, stderr],
      release: () => {
        for (const fd of [stdout, stderr]) closeSync(fd)
      },
    }
  } catch (thrown) {
    for (const fd of opened) closeSync(fd)
    throw thrown
  } finally {
    for (const name of [stdoutName, stderrName]) unlinkSync(name)
  }
}
