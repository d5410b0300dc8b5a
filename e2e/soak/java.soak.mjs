/**
 * Java at length: the tests that authors of functions run with Maven, those of the SDK, and a function in Java started and stopped again and
 * again, after which no process, socket or descriptor is left.
 */
import { mkdirSync, readdirSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { findJava, javaNeeds, processTree, until } from "@fn/testing"
import { descriptorsOf } from "../support/leftovers.mjs"
import { startPlatform } from "../support/platform.mjs"
import { quantile, scaled, Tally } from "../support/tally.mjs"

export const name = "functions in Java"

const folder = (/** @type {string} */ path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
/** Projects whose tests Maven runs. */
const PROJECTS = ["sdk/java", "examples/issue-labeler-java"]
/** The first cycles load what is loaded lazily. */
const WARM_UP = 2

/** @param {{ scale: number, log: (line: string) => void }} options */
export async function run({ scale, log }) {
  const tally = new Tally(log)
  const java = findJava()
  if (!java) {
    console.warn(`SKIPPED: needs ${javaNeeds()}: Java at length (npm run setup)`)
    return tally.outcome()
  }
  const platform = await startPlatform({ hosts: 0 })
  try {
    for (const project of PROJECTS) {
      const failed = await java.maven(folder(project), "test", `-Dfn.target=${platform.folder.file("target", project)}`).then(
        () => 0,
        (/** @type {Error} */ error) => {
          log(error.message)
          return 1
        },
      )
      tally.check(`tests of ${project} that failed`, failed)
    }

    const tmp = platform.folder.file("tmp")
    const classes = platform.folder.file("classes")
    mkdirSync(tmp)
    await java.compile(folder("apps/cli/templates/java/src/main/java"), classes)
    // Idle at once: every call starts an instance, and stops it.
    const host = await platform.startHost(["--idle-ms", "0"], "host", { TMPDIR: tmp })
    await platform.deployPlugin("greeter", java.command(classes, "com.example.Main"), { language: "java", env: { TMPDIR: tmp } })
    const resting = processTree(host.pid).length
    const cycles = scaled(200, scale / 2, 5)
    /** @type {number[]} */
    const cycleMs = []
    const cycle = async () => {
      const startedAt = performance.now()
      await platform.client.invoke("greeter", { name: "Ada" })
      await until(() => processTree(host.pid).length <= resting, { name: "the instance to be gone", timeoutMs: 20_000 })
      cycleMs.push(performance.now() - startedAt)
    }
    for (let n = 0; n < WARM_UP; n++) await cycle()
    const before = { descriptors: descriptorsOf(host.pid), files: readdirSync(tmp).length }
    for (let n = 0; n < cycles; n++) await cycle()
    tally.figure("cycles", cycles)
    tally.figure("start, call and stop, ms, p50 and p99", `${quantile(cycleMs, 0.5)} ${quantile(cycleMs, 0.99)}`)
    const isBack = () => descriptorsOf(host.pid) <= before.descriptors && readdirSync(tmp).length <= before.files
    await until(isBack, { name: "descriptors and files to be as before", timeoutMs: 5_000 }).catch(() => undefined)
    tally.check("descriptors more than before", descriptorsOf(host.pid) - before.descriptors, (more) => more <= 0)
    tally.check("temporary files more than before", readdirSync(tmp).length - before.files, (more) => more <= 0)
    tally.check("exit code of the host", (await host.stop()).code ?? -1)
  } finally {
    await platform.dispose()
  }
  return tally.outcome()
}
