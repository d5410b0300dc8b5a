import { atLeast, atMost } from "../measure/row.mjs"
import { IN_HOST, SYNC } from "./policies.mjs"

const conditions = { policy: IN_HOST, durability: SYNC }

/** A builtin function on the full path against what NATS itself can do. */
export const builtin = {
  rows: () =>
    [
      {
        name: "builtin",
        goal: atLeast(1.3),
        reference: "raw-echo",
        load: { target: "builtin", against: "raw-echo", metric: "throughput" },
      },
      {
        name: "builtin-p50",
        goal: atMost(1.4),
        reference: "raw-echo",
        load: { target: "builtin", against: "raw-echo", metric: "p50", inFlight: 1 },
      },
      {
        name: "builtin-lean",
        goal: atLeast(0.45),
        reference: "lean-echo",
        load: { target: "builtin", against: "lean-echo", metric: "throughput" },
      },
      {
        name: "runtime-cpu",
        goal: atMost(3),
        reference: "raw-echo",
        load: { target: "builtin", against: "raw-echo", metric: "answererCpu" },
      },
    ].map((row) => ({ ...row, ...conditions })),
}
