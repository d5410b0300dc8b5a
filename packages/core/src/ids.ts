import { randomFillSync } from "node:crypto"

const ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
const ID_BYTES = 16
// One call into the kernel fills 256 ids: a randomUUID or randomBytes a call would show in the profile of the client.
const pool = new Uint8Array(ID_BYTES * 256)
let used = pool.length

/** Stands in for a `-` at the start, which a command line takes for an option. */
const FIRST_FOR_DASH = "9"

/** 128 random bits as 22 base64url characters, never with `-` in front: an invocation, execution or event id. One valid NATS token. */
export function newId(): string {
  if (used === pool.length) {
    randomFillSync(pool)
    used = 0
  }
  let text = ""
  for (let i = 0; i < 15; i += 3) {
    const bits = ((pool[used + i] as number) << 16) | ((pool[used + i + 1] as number) << 8) | (pool[used + i + 2] as number)
    text += (ALPHABET[bits >> 18] as string) + ALPHABET[(bits >> 12) & 63] + ALPHABET[(bits >> 6) & 63] + ALPHABET[bits & 63]
  }
  const last = pool[used + 15] as number
  used += ID_BYTES
  if (text.charCodeAt(0) === 45) text = FIRST_FOR_DASH + text.slice(1)
  return text + ALPHABET[last >> 2] + ALPHABET[(last & 3) << 4]
}
