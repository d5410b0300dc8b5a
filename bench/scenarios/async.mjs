import { atLeast } from "../measure/row.mjs"
import { IN_HOST, STORED, STORED_PLAIN } from "./policies.mjs"

/** Durable invocations of a builtin function, from before they are stored to the result at the caller. */
export const async = {
  rows: () => [
    {
      name: "async",
      goal: atLeast(0.18),
      reference: "lean-echo",
      policy: IN_HOST,
      durability: STORED,
      load: { target: "async", against: "lean-echo", metric: "throughput" },
    },
    {
      name: "async-plain",
      goal: atLeast(0.28),
      reference: "lean-echo",
      policy: IN_HOST,
      durability: STORED_PLAIN,
      load: { target: "async-plain", against: "lean-echo", metric: "throughput" },
    },
    // What the building blocks come to without us; no goal of ours.
    {
      name: "async-vs-jetstream",
      reference: "jetstream-echo",
      policy: IN_HOST,
      durability: STORED,
      load: { target: "async", against: "jetstream-echo", metric: "throughput" },
    },
  ],
}
