/**
 * Every scenario. Each has `rows(lab)`: what it promises of its rows before it runs, `{ name, goal?, reference, policy, durability, needs? }`. A row
 * with a `load` is measured in rounds together with all the others that have one (measure/rounds.mjs); for the rest the scenario has
 * `run(lab, rows, { rounds?, roundMs?, scale, onProgress })`, which resolves with an outcome per row, in their order.
 */
import { activeFunctions } from "./active-functions.mjs"
import { artifact } from "./artifact.mjs"
import { async } from "./async.mjs"
import { builtin } from "./builtin.mjs"
import { cold, coldMore } from "./cold.mjs"
import { http } from "./http.mjs"
import { idleRss } from "./idle-rss.mjs"
import { latency } from "./latency.mjs"
import { leak } from "./leak.mjs"
import { manyFunctions } from "./many-functions.mjs"
import { matrix } from "./matrix.mjs"
import { module } from "./module.mjs"
import { moleculer } from "./moleculer.mjs"
import { neighbour } from "./neighbour.mjs"
import { plugin } from "./plugin.mjs"
import { redeploy } from "./redeploy.mjs"
import { registry } from "./registry.mjs"
import { twoRuntimes } from "./two-runtimes.mjs"
import { warmPool } from "./warm-pool.mjs"

/** Those with goals: what `npm run bench` runs. */
export const SCENARIOS = [
  builtin,
  module,
  plugin,
  moleculer,
  http,
  async,
  cold,
  warmPool,
  artifact,
  idleRss,
  manyFunctions,
  neighbour,
  twoRuntimes,
  leak,
]

/** What `--all` adds. */
export const MORE_SCENARIOS = [matrix, coldMore, redeploy, registry, activeFunctions]

/** The curves of the picture: run for `--svg`, and with `--all`. */
export const CURVES = [latency]
