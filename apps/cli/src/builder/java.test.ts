import { copyFile, readFile, symlink } from "node:fs/promises"
import { newId, noopLogger } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { createPluginStarter } from "@fn/runtime"
import { findJava, javaNeeds } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, jest, test } from "@jest/globals"
import { testEnvironment } from "../../test/support/environment.js"
import { type TemporaryFolder, temporaryFolder } from "../../test/support/folder.js"
import { createProject } from "../project/create-project.js"
import { type BuiltFunction, buildFunction } from "./build-function.js"

jest.setTimeout(180_000)

const java = findJava()

function build(folder: TemporaryFolder, dir: string, env: Record<string, string> = {}): Promise<BuiltFunction> {
  return buildFunction(dir, { env: testEnvironment(folder.path, { ...java?.mavenEnv, ...env }) })
}

/** What the function gives for `data`, started as a host would: with nothing in its environment. */
async function call(built: BuiltFunction, data: unknown): Promise<unknown> {
  const fn = { namespace: "default", name: "hello", version: "1.0.0", instance: newId() }
  const definition: FunctionDefinition = {
    ...fn,
    schema: 1,
    language: "java",
    runtime: "plugin",
    command: built.manifest.command as string[],
    config: { greeting: "Grüezi" },
    env: {},
    timeoutMs: 10_000,
    concurrency: 1,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00Z",
  }
  const starter = createPluginStarter({ logger: noopLogger, startTimeoutMs: 60_000 })
  const artifactPath = built.artifact?.path as string
  const instance = await starter.start({ fn, definition, artifactPath, logger: noopLogger }, new AbortController().signal)
  try {
    const attributes = { id: "1", source: "/test", type: "greet", specversion: "1.0" as const, datacontenttype: "application/json" }
    const event = { attributes, data: Buffer.from(JSON.stringify(data)) }
    const [answer] = await instance.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + 10_000, event })
    return JSON.parse(Buffer.from(answer?.data as Uint8Array).toString("utf8"))
  } finally {
    await instance.close({ graceMs: 2_000 })
  }
}

describe("what is missing is told", () => {
  test("a JDK, then Maven", async () => {
    await using folder = await temporaryFolder({ "fn.yaml": "name: hello\nlanguage: java\nruntime: plugin\n", "pom.xml": "<project/>" })
    const why = async (): Promise<unknown> =>
      await build(folder, folder.path, { PATH: folder.path, JAVA_HOME: "" }).catch(({ reason, message }) => `${reason} ${message}`)
    expect(await why()).toMatch(/^TOOLCHAIN_MISSING .*there is no javac/)
    await symlink("/bin/true", folder.join("javac"))
    expect(await why()).toMatch(/^TOOLCHAIN_MISSING .*there is no mvn/)
  })

  test("without a pom.xml, and without the jar that fn.yaml names", async () => {
    await using folder = await temporaryFolder({
      "none/fn.yaml": "name: hello\nlanguage: java\nruntime: plugin\n",
      "jar/fn.yaml": "name: hello\nlanguage: java\nruntime: plugin\nentry: own.jar\n",
    })
    for (const [dir, what] of Object.entries({ none: "pom.xml", jar: "own.jar" }))
      await expect(build(folder, folder.join(dir))).rejects.toMatchObject({
        reason: "INVALID_DEFINITION",
        message: expect.stringContaining(what),
      })
  })
})

if (!java) {
  test("a JDK, Maven and the packages of the Java SDK are needed", () => {
    console.warn(`SKIPPED: needs ${javaNeeds()}: building functions in Java (npm run setup)`)
  })
} else {
  describe("R-RG-6: a Java project becomes one jar", () => {
    let folder: TemporaryFolder
    let first: BuiltFunction

    beforeAll(async () => {
      folder = await temporaryFolder({})
      await createProject({ path: folder.join("one"), name: "hello", template: "java" })
      first = await build(folder, folder.join("one"))
    })
    afterAll(async () => await folder?.[Symbol.asyncDispose]())

    test("it runs with nothing but java, within the memory of the function", async () => {
      expect(first).toMatchObject({ artifact: { fileName: "hello.jar" }, cached: false })
      expect(first.manifest.command).toEqual(expect.arrayContaining(["java", "-Xmx128m", "-jar", "{artifact}"]))
      expect(await call(first, { name: "Ada" })).toEqual({ text: "Grüezi, Ada!" })
    })

    test("a jar that somebody built is started the same way, unless fn.yaml says another", async () => {
      await folder.write({
        "jar/fn.yaml": "name: hello\nlanguage: java\nruntime: plugin\nentry: own.jar\nmemoryMb: 512\n",
        "told/fn.yaml": `name: hello\nlanguage: java\nruntime: plugin\nentry: own.jar\ncommand: [java, -jar, "{artifact}"]\n`,
      })
      for (const dir of ["jar", "told"]) await copyFile(first.artifact?.path as string, folder.join(dir, "own.jar"))
      expect((await build(folder, folder.join("jar"))).manifest.command).toEqual(expect.arrayContaining(["java", "-Xmx320m", "{artifact}"]))
      expect((await build(folder, folder.join("told"))).manifest.command).toEqual(["java", "-jar", "{artifact}"])
    })

    test("the same sources give the same bytes, wherever they lie; what did not change is not built again", async () => {
      await using elsewhere = await temporaryFolder({})
      const dir = elsewhere.join("deep/er")
      await createProject({ path: dir, name: "hello", template: "java" })
      // Neither what an earlier build left nor what is only read by people gets in.
      await elsewhere.write({ "deep/er/target/classes/Old.class": "old", "deep/er/NOTES.md": "mine" })
      const second = await build(elsewhere, dir)
      expect(second).toMatchObject({ sourceDigest: first.sourceDigest, cached: false })
      expect((await readFile(second.artifact?.path as string)).equals(await readFile(first.artifact?.path as string))).toBe(true)
      expect(await build(folder, folder.join("one"))).toMatchObject({ sourceDigest: first.sourceDigest, cached: true })
    })

    test("a source that does not compile fails the build with the compiler's words, and the place", async () => {
      await createProject({ path: folder.join("wrong"), name: "hello", template: "java" })
      await folder.write({ "wrong/src/main/java/com/example/Greeting.java": "package com.example;\n\nrecord Greeting(String text { }\n" })
      const failed = await build(folder, folder.join("wrong")).catch((thrown: Error) => thrown)
      expect(failed).toMatchObject({
        reason: "BUILD_FAILED",
        message: expect.stringMatching(/^\[ERROR\] src\/main\/java\/com\/example\/Greeting\.java:\[3,\d+\] .* expected$/m),
      })
      expect((failed as Error).message).not.toMatch(/Re-run Maven|For more information/)
    })

    test("a project of another kind is told what it lacks", async () => {
      await folder.write({
        "other/fn.yaml": "name: hello\nlanguage: java\nruntime: plugin\nmemoryMb: 512\n",
        "other/pom.xml":
          "<project><modelVersion>4.0.0</modelVersion><groupId>x</groupId><artifactId>x</artifactId><version>1</version><packaging>pom</packaging></project>",
      })
      await expect(build(folder, folder.join("other"))).rejects.toMatchObject({
        reason: "BUILD_FAILED",
        message: expect.stringContaining("fn-function"),
      })
    })
  })
}
