import { atLeast } from "../measure/row.mjs"
import { GO } from "./needs.mjs"
import { policyOf, SYNC } from "./policies.mjs"

/** Plugins: many calls on one stream, which our SDKs do, and a gRPC call each, which any go-plugin can. */
export const plugin = {
  rows: (lab) =>
    [
      ["plugin-ts-stream", 0.7, "builtin"],
      ["plugin-go-stream", 0.7, "builtin", [GO]],
      ["plugin-go-unary", 0.15, "raw-echo", [GO]],
    ].map(([name, goal, reference, needs]) => ({
      name,
      goal: atLeast(goal),
      reference,
      needs,
      policy: policyOf(lab),
      durability: SYNC,
      load: { target: name, against: reference, metric: "throughput" },
    })),
}
