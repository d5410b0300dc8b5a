/**
 * Java: `mvn package` makes one runnable jar of the author's classes, the SDK and all they need. The parent of the project's pom.xml
 * (sdk/java/function/pom.xml) sees to that, and that the same sources give the same bytes. What is compiled goes to a folder of ours: nothing of
 * an earlier build gets in, and the author's folder stays as it is.
 */
import { copyFile, mkdtemp, readdir, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { FnError } from "@fn/core"
import { findOnPath } from "@fn/process"
import { findJavaSdk } from "../project/java-sdk.js"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"
import { takePrebuilt } from "./prebuilt.js"
import { buildFailed, runTool, type ToolResult } from "./run-tool.js"

const POM = "pom.xml"
/** What the parent makes Maven call the jar. */
const JAR = "function.jar"
/** Memory of a function that says nothing of it, and what a JVM needs of it beside the heap. */
const DEFAULT_MEMORY_MB = 256
const BESIDE_HEAP_MB = 192
/** Quick to start and small; without memory it ends, and is started again, instead of going on half alive. */
const JVM_OPTIONS = [
  "-XX:TieredStopAtLevel=1",
  "-XX:+UseSerialGC",
  "-Xshare:auto",
  "-XX:-UsePerfData",
  "-XX:+ExitOnOutOfMemoryError",
  // A warning of the JVM on stdout would come before the handshake.
  "-XX:+DisplayVMOutputToStderr",
]
/** Maven runs for seconds, in which a better compiler or collector would not pay: it takes a third of the time. The author's own come last. */
const MAVEN_OPTIONS = ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
/** Folders that are no part of a program; those with a leading dot are none either. */
const LEFT_OUT: ReadonlySet<string> = new Set(["target", "node_modules", "src/test"])
/** Files that no build reads. */
const NOT_READ = /^(fn\.yaml|.*\.md)$/
/** Maven's advice on itself. */
const MAVEN_ADVICE = /^\[ERROR\]\s*($|To see the full stack trace|Re-run Maven|For more information|\[Help \d\]|-> \[Help)/

/** Whether `entry` is for this builder: nothing, the folder, its pom.xml, or a jar that somebody built. */
export function isJava(entry: string | undefined): boolean {
  return entry === undefined || entry === "." || entry === POM || entry.endsWith(".jar")
}

/** @throws {FnError} TOOLCHAIN_MISSING without a JDK and Maven; BUILD_FAILED with their text; INVALID_DEFINITION when there is no pom.xml */
export async function buildJava(input: BuildInput): Promise<BuiltArtifact> {
  const { entry, name, memoryMb } = input.manifest
  const declared = { settings: { command: commandOf(memoryMb) } }
  if (entry?.endsWith(".jar")) {
    const given = { ...input, manifest: { ...input.manifest, command: input.manifest.command ?? commandOf(memoryMb) } }
    return { ...(await takePrebuilt(given)), declared }
  }
  const { dir } = input
  if (!(await stat(join(dir, POM)).catch(() => undefined)))
    throw FnError.of("INVALID_DEFINITION", `there is no ${POM} in ${dir}: fn init --template java writes one, or entry names a jar`)
  const maven = findMaven(input.env)
  const env = { ...input.env, MAVEN_OPTS: [...MAVEN_OPTIONS, input.env.MAVEN_OPTS ?? ""].join(" ").trim() }
  const tool = { cwd: dir, env, signal: input.signal }

  const files = await sourceFiles(dir)
  const sdk = await findJavaSdk(dir)
  const sources = new SourceDigest()
  const compiler = await runTool(maven.javac, { ...tool, args: ["-version"] })
  if (compiler.exit.code !== 0) throw missing(`javac does not start: ${compiler.stderr.trim()}`)
  sources.add("javac", compiler.stdout)
  for (const file of files) await sources.addFile(`app/${relative(dir, file)}`, file)
  for (const part of ["function", "src/main", "src/generated"])
    for (const file of await sourceFiles(join(sdk, part))) await sources.addFile(`sdk/${relative(sdk, file)}`, file)

  const cache = new BuildCache(input.cacheDir, ".jar")
  const kept = await cache.find(sources.value)
  const build = async (draft: string): Promise<void> => {
    input.onProgress("compiling Java (the first time takes longest)")
    const target = await mkdtemp(join(tmpdir(), "fn-java-"))
    try {
      const args = ["-B", "-q", "-Dstyle.color=never", "-Dmaven.test.skip=true", `-Dfn.target=${target}`, "package"]
      const built = await runTool(maven.mvn, { ...tool, args })
      if (built.exit.code !== 0) throw buildFailed("the Java project does not build", withoutAdvice(built, dir))
      await copyFile(join(target, JAR), draft).catch((cause: unknown) => {
        const why = `Maven made no ${JAR}: the parent in ${POM} must be fn-function, as fn init --template java writes it`
        throw FnError.of("BUILD_FAILED", why, { cause })
      })
    } finally {
      await rm(target, { recursive: true, force: true })
    }
  }
  const path = kept ?? (await cache.keep(sources.value, build))
  const fileName = `${name}.jar`
  return { path, fileName, sourceDigest: sources.value, inputs: files, warnings: [], declared, cached: kept !== undefined }
}

/** How a host starts the jar: with the java that it has, its heap within the memory of the function. */
function commandOf(memoryMb: number = DEFAULT_MEMORY_MB): string[] {
  const heapMb = Math.max(16, Math.floor(memoryMb / 2), memoryMb - BESIDE_HEAP_MB)
  return ["java", ...JVM_OPTIONS, `-Xmx${heapMb}m`, "-jar", "{artifact}"]
}

function findMaven(env: Readonly<Record<string, string>>): { mvn: string; javac: string } {
  const home = env.JAVA_HOME ? [join(env.JAVA_HOME, "bin")] : []
  const javac = findOnPath("javac", [...home, env.PATH ?? ""].join(":"))
  if (javac === undefined) throw missing("there is no javac in JAVA_HOME or on PATH (https://adoptium.net has it)")
  const mvn = findOnPath("mvn", env.PATH ?? "")
  if (mvn === undefined) throw missing("there is no mvn on PATH (https://maven.apache.org/download.cgi has it)")
  return { mvn, javac }
}

/** What Maven said of the project, with paths as the author knows them. */
function withoutAdvice({ exit, stdout, stderr }: ToolResult, dir: string): ToolResult {
  const lines = stripAnsi(`${stdout}\n${stderr}`).split("\n")
  // It says most things twice.
  const text = [...new Set(lines)].filter((line) => line.trim() !== "" && !MAVEN_ADVICE.test(line)).join("\n")
  return { exit, stdout: text.replaceAll(`${dir}/`, ""), stderr: "" }
}

function stripAnsi(text: string): string {
  return text.replaceAll(`${String.fromCharCode(27)}[m`, "").replaceAll(`${String.fromCharCode(27)}[0m`, "")
}

async function sourceFiles(folder: string, inside = ""): Promise<string[]> {
  const entries = await readdir(join(folder, inside), { withFileTypes: true })
  const below = entries.map(async (entry) => {
    const name = join(inside, entry.name)
    if (entry.name.startsWith(".") || LEFT_OUT.has(name) || NOT_READ.test(name)) return []
    return entry.isDirectory() ? await sourceFiles(folder, name) : [join(folder, name)]
  })
  return (await Promise.all(below)).flat().sort()
}

function missing(why: string): FnError {
  return FnError.of("TOOLCHAIN_MISSING", `building this function needs a JDK, version 17 or newer, and Maven, and ${why}`, {
    details: { toolchain: "java" },
  })
}
