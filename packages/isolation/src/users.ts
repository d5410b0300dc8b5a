/**
 * User numbers of children: each has one of its own, so that none can read, signal or trace another.
 *
 * A process claims a block of numbers for itself. The claim is a socket with an abstract name, of which the kernel lets only one exist: it is
 * gone with its process, however that ends. The numbers need no entry in the user database.
 */
import { readFileSync } from "node:fs"
import { createServer, type Server } from "node:net"
import { FnError } from "@fn/core"

/** Which numbers may be used. */
export interface UserRange {
  /** Default 1 900 000 000: above everything that user databases, containers and systemd hand out. */
  readonly first?: number
  /** Default 64 000: 64 processes of 1 000 children each. */
  readonly count?: number
}

const DEFAULT_FIRST = 1_900_000_000
const DEFAULT_COUNT = 64_000
const BLOCK = 1_000

/** The numbers of this process. */
export class Users {
  readonly first: number
  readonly #size: number
  readonly #claim: Server
  readonly #taken = new Set<number>()
  #next = 0

  private constructor(first: number, size: number, claim: Server) {
    this.first = first
    this.#size = size
    this.#claim = claim
  }

  /** Claims a block. @throws {FnError} ISOLATION_UNAVAILABLE when all are taken, or when this process cannot give them */
  static async claim({ first = DEFAULT_FIRST, count = DEFAULT_COUNT }: UserRange = {}): Promise<Users> {
    if (process.getuid?.() !== 0)
      throw FnError.of("ISOLATION_UNAVAILABLE", "this process is not root, so that children run as its own user")
    if (!isMapped(first, count))
      throw FnError.of("ISOLATION_UNAVAILABLE", `there are no users ${first} to ${first + count - 1} in this user namespace`)
    for (let block = first; block < first + count; block += BLOCK) {
      const claim = await tryClaim(block)
      if (claim) return new Users(block, Math.min(BLOCK, first + count - block), claim)
    }
    throw FnError.of("ISOLATION_UNAVAILABLE", `every user number from ${first} to ${first + count - 1} is in use by other hosts`)
  }

  /** A number that nobody uses, the one that was given back longest ago. @throws {FnError} ISOLATION_UNAVAILABLE when none is left */
  take(): number {
    for (let tried = 0; tried < this.#size; tried++) {
      const uid = this.first + this.#next
      this.#next = (this.#next + 1) % this.#size
      if (this.#taken.has(uid)) continue
      this.#taken.add(uid)
      return uid
    }
    throw FnError.of("ISOLATION_UNAVAILABLE", `all ${this.#size} user numbers of this host are in use`)
  }

  /** Gives a number back, of which no process may be left. */
  free(uid: number): void {
    this.#taken.delete(uid)
  }

  close(): Promise<void> {
    return new Promise((resolve) => this.#claim.close(() => resolve()))
  }
}

/** Whether the user namespace of this process has these numbers: lines of `first-inside first-outside count`. */
function isMapped(first: number, count: number): boolean {
  return readFileSync("/proc/self/uid_map", "utf8")
    .trim()
    .split("\n")
    .some((line) => {
      const [inside = 0, , size = 0] = line.trim().split(/\s+/).map(Number)
      return first >= inside && first + count <= inside + size
    })
}

function tryClaim(block: number): Promise<Server | undefined> {
  return new Promise((resolve) => {
    const server = createServer((socket) => socket.destroy())
    server.unref()
    server.once("error", () => resolve(undefined))
    server.listen(`\0fn-isolation-users-${block}`, () => resolve(server))
  })
}
