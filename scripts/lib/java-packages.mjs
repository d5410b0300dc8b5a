/**
 * The Java SDK and what it needs, built by Maven into the work folder, with a Maven repository of its own; nothing is installed outside of it.
 * Without a JDK and Maven, or without a way to their packages, a sentence says so, and the tests that need it skip, saying so.
 */
import { createHash } from "node:crypto"
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { root, workFolder } from "./paths.mjs"
import { withProgress } from "./progress.mjs"
import { runLogged } from "./run.mjs"
import { findOnPath } from "./which.mjs"

const sdk = join(root, "sdk/java")
const folder = join(workFolder, "java")
/** Written last: tests look for it. */
const readyFile = join(folder, "ready")
const COPY_DEPENDENCIES = "org.apache.maven.plugins:maven-dependency-plugin:3.9.0:copy-dependencies"

/** Builds it if it is not up to date. Never throws: without it everything but Java works. */
export async function installJavaPackages({ logFile, quiet = false }) {
  const missing = ["javac", "mvn"].find((name) => findOnPath(name) === undefined)
  if (missing !== undefined) return report(`${missing} is not installed`)
  const hash = sourceHash()
  if (existsSync(readyFile) && readFileSync(readyFile, "utf8") === hash) return
  try {
    await withProgress("Building the Java SDK", () => build(hash, logFile), { quiet })
  } catch (error) {
    report(error.message)
  }
}

async function build(hash, logFile) {
  rmSync(readyFile, { force: true })
  rmSync(join(folder, "lib"), { recursive: true, force: true })
  const options = ["-q", "-B", `-Dfn.target=${join(folder, "target")}`]
  const env = { MAVEN_OPTS: `-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dmaven.repo.local=${join(folder, "m2")}` }
  const steps = [
    // With its tests, so that what runs them is there, too; how they end is no matter of this place.
    [["clean", "package", "-Dmaven.test.failure.ignore=true"], "Maven could not build the Java SDK"],
    [[COPY_DEPENDENCIES, "-DincludeScope=runtime", `-DoutputDirectory=${join(folder, "lib")}`], "Maven could not fetch the SDK's packages"],
  ]
  for (const [args, problem] of steps) {
    const { code } = await runLogged("mvn", [...options, ...args], { cwd: sdk, env, logFile })
    if (code !== 0) throw new Error(`${problem} (exit code ${code}; the output is in ${logFile})`)
  }
  writeFileSync(join(folder, "lib/fn-sdk.jar"), readFileSync(join(folder, "target/fn-sdk.jar")))
  writeFileSync(readyFile, hash)
}

/** Everything that the build depends on. */
function sourceHash() {
  const hash = createHash("sha256")
  const files = readdirSync(sdk, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && /\.(java|xml)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name))
  for (const file of files.sort()) hash.update(file.slice(root.length)).update(readFileSync(file))
  return hash.digest("hex")
}

function report(problem) {
  process.stderr.write(`${problem}: functions in Java cannot be tested here.\n`)
}
