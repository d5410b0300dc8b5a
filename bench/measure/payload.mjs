import { isDeepStrictEqual } from "node:util"

/** Different ones, so that a reply that belongs to another call is noticed. */
const VARIANTS = 16

/**
 * Data of events of exactly `sizeBytes` as JSON, in a few variants: call `n` takes `at(n)`. Each is `{ data, text, bytes }`, the value, its JSON,
 * the JSON's bytes.
 */
export function createPayloads(sizeBytes) {
  const variants = Array.from({ length: VARIANTS }, (_, n) => {
    const frame = JSON.stringify({ n, text: "" }).length
    const data = { n, text: "x".repeat(sizeBytes - frame) }
    const text = JSON.stringify(data)
    return { data, text, bytes: Buffer.from(text) }
  })
  return { at: (n) => variants[n % VARIANTS] }
}

/** @throws when `bytes` are not what was sent */
export function checkBytes(bytes, payload, who) {
  if (bytes.length !== payload.bytes.length || Buffer.compare(bytes, payload.bytes) !== 0)
    throw new Error(`${who} answered something else: ${Buffer.from(bytes).toString("latin1").slice(0, 200)}`)
}

/** @throws when `data` is not what was sent. By hand, for it is a part of what is measured. */
export function checkData(data, payload, who) {
  if (data?.text !== payload.data.text || data.n !== payload.data.n) throw new Error(`${who} answered something else: ${shown(data)}`)
}

/** @throws when `value` is not `expected`. Not for hot paths. */
export function checkEqual(value, expected, who) {
  if (!isDeepStrictEqual(value, expected)) throw new Error(`${who} answered something else: ${shown(value)} instead of ${shown(expected)}`)
}

function shown(value) {
  return String(JSON.stringify(value)).slice(0, 200)
}
