import { existsSync } from "node:fs"
import { readdir } from "node:fs/promises"
import { delimiter, join } from "node:path"
import { fileURLToPath } from "node:url"
import { findOnPath, spawnChild } from "@fn/process"

/** Java for tests: `npm run setup` makes what is beyond the JDK and Maven, in the work folder. */
export interface Java {
  /** Environment in which Maven finds what it needs without a network, and starts soon. */
  readonly mavenEnv: Readonly<Record<string, string>>
  /** Folder of the Java SDK. */
  readonly sdkFolder: string
  /** Compiles the `.java` files below `sources`, which use the SDK, into `target`. Rejects with the compiler's text. */
  compile(sources: string, target: string): Promise<void>
  /** Runs Maven in `folder`. Rejects with its text. */
  maven(folder: string, ...args: string[]): Promise<void>
  /** Command line of a program that was compiled into `target`. */
  command(target: string, mainClass: string, ...args: string[]): [string, ...string[]]
}

const folder = fileURLToPath(new URL("../../../.fn/java", import.meta.url))
/** As the builder starts functions: quick to start, small. */
const OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC", "-Xshare:auto", "-XX:-UsePerfData"]

/** Java with the SDK and its packages; undefined where there is none. Tests that need it then say `SKIPPED: needs` {@link javaNeeds}. */
export function findJava(): Java | undefined {
  const [java, javac, mvn] = ["java", "javac", "mvn"].map((name) => findOnPath(name))
  if (!java || !javac || !mvn || !existsSync(join(folder, "ready"))) return undefined
  const libraries = join(folder, "lib", "*")
  const mavenEnv = { MAVEN_OPTS: `-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Dmaven.repo.local=${join(folder, "m2")}` }
  return {
    mavenEnv,
    sdkFolder: fileURLToPath(new URL("../../../sdk/java", import.meta.url)),
    compile: async (sources, target) => {
      const files = (await readdir(sources, { recursive: true })).filter((name) => name.endsWith(".java"))
      const args = ["-J-XX:TieredStopAtLevel=1", "-proc:none", "-parameters", "-cp", libraries, "-d", target]
      await run(javac, [...args, ...files.map((name) => join(sources, name))], folder)
    },
    maven: (where, ...args) => run(mvn, ["-q", "-B", "-o", ...args], where, mavenEnv),
    command: (target, mainClass, ...args) => [java, ...OPTIONS, "-cp", [target, libraries].join(delimiter), mainClass, ...args],
  }
}

async function run(command: string, args: readonly string[], cwd: string, env: Readonly<Record<string, string>> = {}): Promise<void> {
  const child = spawnChild({ command, args, cwd, env: { ...(process.env as Record<string, string>), ...env } })
  const output: string[] = []
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => output.push(chunk.toString()))
  const { code } = await child.exited
  if (code !== 0) throw new Error(`${command} ${args.join(" ")}: ${output.join("")}`)
}

/** What is missing for Java, for what tests say that skip: a program, or the packages that `npm run setup` fetches. */
export function javaNeeds(): string {
  return ["java", "javac", "mvn"].find((name) => findOnPath(name) === undefined) ?? "grpc-java"
}
