/** A bare loop that burns what a call burns, and nothing else: its `connect` makes a load client of it. */
import { burn } from "../measure/burn.mjs"
import { checkEqual } from "../measure/payload.mjs"

export async function connect({ rounds, result }) {
  return { call: async () => checkEqual(burn(rounds), result, "the loop") }
}
