import { atLeast } from "../measure/row.mjs"
import { IN_HOST, SYNC } from "./policies.mjs"

/** A builtin function against a remote call of Moleculer over the same NATS. */
export const moleculer = {
  rows: () => [
    {
      name: "vs-moleculer",
      goal: atLeast(1.3),
      reference: "moleculer",
      policy: IN_HOST,
      durability: SYNC,
      load: { target: "builtin", against: "moleculer", metric: "throughput" },
    },
  ],
}
