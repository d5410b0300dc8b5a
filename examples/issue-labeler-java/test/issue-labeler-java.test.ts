import { fileURLToPath } from "node:url"
import { findJava, javaNeeds, type TempDir, tempDir } from "@fn/testing"
import { afterAll, beforeAll, describe, test } from "@jest/globals"
import { type LabelerPlugin, labelsLikeTypeScript, startLabelerPlugin } from "../../issue-labeler/test/contract.js"

const java = findJava()
const source = fileURLToPath(new URL("..", import.meta.url))
let classes: TempDir
let labeler: LabelerPlugin

if (!java) {
  test("a JDK, Maven and the packages of the Java SDK are needed", () => {
    console.warn(`SKIPPED: needs ${javaNeeds()}: the Java example issue-labeler-java was not run (npm run setup)`)
  })
} else {
  describe("R-FN-6, R-PL-3: a Java plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      classes = await tempDir("fn-java-")
      await java.compile(`${source}src/main/java`, classes.path)
      labeler = await startLabelerPlugin("java", java.command(classes.path, "com.example.labels.Main"))
    }, 120_000)
    afterAll(async () => {
      await labeler?.close()
      await classes?.[Symbol.asyncDispose]()
    })

    labelsLikeTypeScript(() => labeler)
  })
}
