import { atLeast } from "../measure/row.mjs"
import { IN_HOST, SYNC } from "./policies.mjs"

/** HTTP through the gateway to a builtin function, events in binary mode, against servers that answer by themselves. */
export const http = {
  rows: () =>
    [
      ["http-builtin", 0.36, "http-echo"],
      ["vs-functions-framework", 4, "functions-framework"],
    ].map(([name, goal, reference]) => ({
      name,
      goal: atLeast(goal),
      reference,
      policy: IN_HOST,
      durability: SYNC,
      load: { target: "http-builtin", against: reference, metric: "throughput" },
    })),
}
