import { describe, expect, test } from "@jest/globals"
import { seccompFilter } from "./filter.js"
import { REFUSED } from "./syscalls-x64.js"

const ALLOWED = 0x7fff0000
const KILLED = 0x80000000
const errno = (number: number) => 0x50000 | number
const X64 = 0xc000003e

/** Runs the filter as the kernel would: an interpreter of the few instructions it consists of. */
function run(call: { arch?: number; number: number; arguments?: number[] }): number {
  const program = seccompFilter("x64") as Buffer
  const data = Buffer.alloc(64)
  data.writeUInt32LE(call.number >>> 0, 0)
  data.writeUInt32LE((call.arch ?? X64) >>> 0, 4)
  for (const [index, value] of (call.arguments ?? []).entries()) data.writeBigUInt64LE(BigInt(value), 16 + 8 * index)
  let loaded = 0
  for (let at = 0; at < program.length / 8; at++) {
    const [code, ifTrue, ifFalse] = [program.readUInt16LE(at * 8), program[at * 8 + 2] as number, program[at * 8 + 3] as number]
    const value = program.readUInt32LE(at * 8 + 4)
    if (code === 0x20) loaded = data.readUInt32LE(value)
    else if (code === 0x06) return value
    else if (code === 0x15) at += loaded === value ? ifTrue : ifFalse
    else if (code === 0x35) at += loaded >= value ? ifTrue : ifFalse
    else if (code === 0x45) at += (loaded & value) !== 0 ? ifTrue : ifFalse
    else throw new Error(`unknown instruction ${code}`)
  }
  throw new Error("the filter ended without an answer")
}

describe("SEC-3: the system call filter", () => {
  test("refuses each call on the list, and only those numbers", () => {
    const refused = Array.from({ length: 600 }, (_, number) => number).filter((number) => run({ number }) === errno(1))
    expect(refused).toEqual(Object.values(REFUSED).sort((a, b) => a - b))
  })

  test("kills programs of another architecture, and of the x32 ABI", () => {
    expect(run({ arch: 0x40000003, number: 1 })).toBe(KILLED)
    expect(run({ number: 0x40000000 | 1 })).toBe(KILLED)
  })

  test.each([
    ["AF_UNIX", 1, ALLOWED],
    ["AF_INET", 2, ALLOWED],
    ["AF_INET6", 10, ALLOWED],
    ["AF_NETLINK", 16, ALLOWED],
    ["AF_PACKET", 17, errno(97)],
    ["AF_ALG", 38, errno(97)],
    ["AF_VSOCK", 40, errno(97)],
    ["AF_XDP", 44, errno(97)],
  ])("answers a socket of %s (%i)", (_name, family, expected) => {
    expect(run({ number: 41, arguments: [family, 1, 0] })).toBe(expected)
  })

  test("lets threads and forks be made, but no namespaces, and has no clone3", () => {
    expect(run({ number: 56, arguments: [0x11] })).toBe(ALLOWED)
    expect(run({ number: 56, arguments: [0x3d0f00] })).toBe(ALLOWED)
    for (const flag of [0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000, 0x40000000])
      expect(run({ number: 56, arguments: [flag | 0x11] })).toBe(errno(1))
    expect(run({ number: 435 })).toBe(errno(38))
  })

  test("refuses to type into a terminal, lets other ioctls pass", () => {
    expect(run({ number: 16, arguments: [1, 0x5412] })).toBe(errno(1))
    expect(run({ number: 16, arguments: [1, 0x541c] })).toBe(errno(1))
    expect(run({ number: 16, arguments: [1, 0x5413] })).toBe(ALLOWED)
  })

  test("there is none for an architecture it was not tried on", () => {
    expect(seccompFilter("arm64")).toBeUndefined()
  })
})
