import { atLeast } from "../measure/row.mjs"
import { policyOf, SYNC } from "./policies.mjs"

/** JavaScript in a process of its own against the same in the host. */
export const module = {
  rows: (lab) => [
    {
      name: "module",
      goal: atLeast(0.85),
      reference: "builtin",
      policy: policyOf(lab),
      durability: SYNC,
      load: { target: "module", against: "builtin", metric: "throughput" },
    },
  ],
}
