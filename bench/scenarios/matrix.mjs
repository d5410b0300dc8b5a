import { GO } from "./needs.mjs"
import { IN_HOST, policyOf, SYNC } from "./policies.mjs"

const KINDS = [
  { target: "builtin" },
  { target: "module" },
  { target: "plugin-ts-stream" },
  { target: "plugin-go-stream", needs: [GO] },
  { target: "plugin-go-unary", needs: [GO] },
  { target: "wasm" },
  { target: "command" },
]
const SIZES = [256, 16_384]
const IN_FLIGHT = [1, 16, 64, 256]
const RUNTIMES = [1, 2]
/** Fewer than of rows with a goal: there are many. */
const ROUNDS = 3

/** Every kind of function, small and large events, from one call at a time to many, on one host and on two: each against the raw echo. */
export const matrix = {
  rows: (lab) =>
    SIZES.flatMap((sizeBytes) =>
      IN_FLIGHT.flatMap((inFlight) =>
        RUNTIMES.flatMap((runtimes) =>
          KINDS.map(({ target, needs }) => ({
            name: `matrix-${target}-${sizeBytes}-${inFlight}-${runtimes}`,
            reference: "raw-echo",
            needs,
            policy: target === "builtin" ? IN_HOST : policyOf(lab),
            durability: SYNC,
            load: { target, against: "raw-echo", metric: "throughput", sizeBytes, inFlight, runtimes, rounds: ROUNDS },
          })),
        ),
      ),
    ),
}
