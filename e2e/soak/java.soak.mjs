/** The tests that authors of functions in Java run with Maven, and those of the SDK. */
import { fileURLToPath } from "node:url"
import { findJava, javaNeeds, tempDir } from "@fn/testing"
import { Tally } from "../support/tally.mjs"

export const name = "Java projects and their own tests"

const folder = (/** @type {string} */ path) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
/** Projects whose tests Maven runs. */
const PROJECTS = ["sdk/java", "examples/issue-labeler-java"]

/** @param {{ log: (line: string) => void }} options */
export async function run({ log }) {
  const tally = new Tally(log)
  const java = findJava()
  if (!java) {
    console.warn(`SKIPPED: needs ${javaNeeds()}: Java at length (npm run setup)`)
    return tally.outcome()
  }
  const scratch = await tempDir()
  try {
    for (const project of PROJECTS) {
      const failed = await java.maven(folder(project), "test", `-Dfn.target=${scratch.file("target", project)}`).then(
        () => 0,
        (/** @type {Error} */ error) => {
          log(error.message)
          return 1
        },
      )
      tally.check(`tests of ${project} that failed`, failed)
    }
  } finally {
    await scratch[Symbol.asyncDispose]()
  }
  return tally.outcome()
}
