/**
 * `npm run demo`: sets the checkout up, starts the whole platform with `fn dev`, sends real GitHub webhooks through a function of every
 * kind, compares what comes back, and shows it. Exit code 0 when everything was as expected, else 1. What happens behind is in .fn/demo.log.
 */
import { join } from "node:path"
import { invokeEverything } from "./demo/calls.mjs"
import { functionsFor } from "./demo/functions.mjs"
import { startPlatform } from "./demo/platform.mjs"
import { showSample, showTable, startBar } from "./demo/show.mjs"
import { workFolder } from "./lib/paths.mjs"
import { ensureSetup } from "./setup.mjs"

async function main() {
  console.log("\n  fn: functions on NATS. Real GitHub webhooks through one function of each kind.\n")
  await ensureSetup()
  const { kinds, missing } = await functionsFor()
  for (const { kind, reason } of missing) console.log(`  ${kind} is left out: ${reason}`)
  const platform = await startPlatform({ folders: kinds.flatMap(({ folder }) => folder ?? []), logFile: join(workFolder, "demo.log") })
  try {
    const bar = startBar(kinds.reduce((sum, { payloads }) => sum + payloads.length, 0))
    const results = []
    for (const kind of kinds) results.push(await invokeEverything(platform, kind, bar))
    bar.stop()
    showTable(results)
    showSample(results.find(({ name }) => name === "push-summary"))
    const mismatches = results.flatMap(({ mismatches: found }) => found)
    for (const mismatch of mismatches.slice(0, 10)) console.log(`  mismatch: ${mismatch}`)
    if (mismatches.length > 0) throw new Error(`${mismatches.length} answers were not as expected`)
  } finally {
    await platform.stop()
  }
}

main().then(
  () => console.log("\ndemo: OK"),
  (error) => {
    console.error(`\ndemo: FAILED: ${error.message}\nThe log is ${join(workFolder, "demo.log")}`)
    process.exitCode = 1
  },
)
