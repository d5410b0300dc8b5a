/**
 * Classic BPF programs for seccomp: instructions and their 8 bytes. https://docs.kernel.org/userspace-api/seccomp_filter.html
 *
 * Jumps are 8 bits wide and only forward, so filters are written as short tests that each end in their own return.
 */

/** `code`, distance if true, distance if false, constant. */
export type Instruction = readonly [code: number, ifTrue: number, ifFalse: number, value: number]

const LOAD_WORD = 0x20
const JUMP_IF_EQUAL = 0x15
const JUMP_IF_AT_LEAST = 0x35
const JUMP_IF_ANY_BIT = 0x45
const RETURN = 0x06

/** What a filter answers. */
export const ALLOW = 0x7fff0000
export const KILL_PROCESS = 0x80000000
export const refuse = (errno: number): number => 0x00050000 | errno

/** Offsets in `struct seccomp_data`; of each argument the lower half, which comes first on a little-endian machine. */
export const NUMBER = 0
export const ARCHITECTURE = 4
export const argument = (index: number): number => 16 + 8 * index

/** Loads a word of the call. */
export const load = (offset: number): Instruction => [LOAD_WORD, 0, 0, offset]
export const answer = (value: number): Instruction => [RETURN, 0, 0, value]
/** Runs the next `count` instructions only if the loaded word equals `value`. */
export const unlessEqualSkip = (value: number, count: number): Instruction => [JUMP_IF_EQUAL, 0, count, value]
export const ifEqualSkip = (value: number, count: number): Instruction => [JUMP_IF_EQUAL, count, 0, value]
export const unlessAtLeastSkip = (value: number, count: number): Instruction => [JUMP_IF_AT_LEAST, 0, count, value]
export const unlessAnyBitSkip = (bits: number, count: number): Instruction => [JUMP_IF_ANY_BIT, 0, count, bits]

/** The program as the kernel takes it. */
export function assemble(instructions: readonly Instruction[]): Buffer {
  const bytes = Buffer.alloc(instructions.length * 8)
  instructions.forEach(([code, ifTrue, ifFalse, value], index) => {
    if (ifTrue > 255 || ifFalse > 255) throw new RangeError(`the jump of instruction ${index} is too far`)
    bytes.writeUInt16LE(code, index * 8)
    bytes[index * 8 + 2] = ifTrue
    bytes[index * 8 + 3] = ifFalse
    bytes.writeUInt32LE(value >>> 0, index * 8 + 4)
  })
  return bytes
}
