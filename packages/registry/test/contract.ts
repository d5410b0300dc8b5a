/** What every registry must do, wherever it keeps its records. Run by memory.test.ts and nats/registry.test.ts. */
import { readFile, writeFile } from "node:fs/promises"
import { join } from "node:path"
import type { FnError } from "@fn/core"
import { tempDir, until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import {
  commandLine,
  type DeployProgress,
  type FunctionChange,
  type FunctionManifest,
  isolationRequest,
  type Registry,
} from "../src/index.js"

/** A registry for the tests of one file, empty at first. */
export interface ContractTarget extends AsyncDisposable {
  readonly registry: Registry
  /** Writes `value` under `key` by hand, past every check. */
  writeRaw(key: string, value: string): Promise<void>
}

const OK = { awaitServed: false } as const
let names = 0

/** A manifest with a name no other test uses. */
export function manifest(overrides: Partial<FunctionManifest> = {}): FunctionManifest {
  return { name: `fn-${++names}`, language: "js", runtime: "module", ...overrides }
}

/** A module's bytes. */
export function artifact(text: string): Uint8Array {
  return Buffer.from(`export default () => ${JSON.stringify(text)}\n`)
}

/** Declares the tests. */
export function describeRegistryContract(name: string, open: () => Promise<ContractTarget>): void {
  let target: ContractTarget
  let registry: Registry
  beforeAll(async () => {
    target = await open()
    registry = target.registry
  })
  afterAll(async () => {
    await target[Symbol.asyncDispose]()
  })

  const ref = (of: FunctionManifest): { namespace: string; name: string } => ({ namespace: of.namespace ?? "default", name: of.name })
  const deploy = (of: FunctionManifest, text = "one"): ReturnType<Registry["deploy"]> =>
    registry.deploy(of, { artifact: artifact(text), ...OK })

  describe(`${name}: deploy`, () => {
    test("R-RG-1: a deploy stores artifact, definition and record, with who and when", async () => {
      const wanted = manifest({ config: { greeting: "hi" }, env: { MODE: "a" }, accepts: ["a.b"], metadata: { team: "core" } })
      const result = await registry.deploy(wanted, { artifact: artifact("x"), deployedBy: "ana", sourceDigest: "sha256:src", ...OK })
      expect(result).toMatchObject({ ref: { ...ref(wanted), version: "0.0.1" }, unchanged: false, warnings: [], hosts: [] })
      const { record, revision } = await registry.getFunction(ref(wanted))
      expect(revision).toBe(result.revision)
      expect(record).toMatchObject({
        schema: 1,
        ...ref(wanted),
        language: "js",
        runtime: "module",
        activeVersion: "0.0.1",
        aliases: {},
        generation: 1,
        metadata: { team: "core" },
        deployedBy: "ana",
      })
      const definition = await registry.getDefinition(ref(wanted))
      expect(definition).toMatchObject({
        version: "0.0.1",
        config: { greeting: "hi" },
        env: { MODE: "a" },
        accepts: ["a.b"],
        timeoutMs: 30_000,
        concurrency: 100,
        instances: { min: 0, max: 1 },
        memoryMb: 256,
        record: "failures",
        sourceDigest: "sha256:src",
        artifact: { digest: result.digest, sizeBytes: artifact("x").length, fileName: `${wanted.name}.mjs`, executable: false },
      })
      expect(Date.parse(definition.deployedAt)).not.toBeNaN()
    })

    test("R-RG-2: artifacts are named by their digest and come back unchanged, to memory and to a file", async () => {
      await using folder = await tempDir()
      const bytes = Buffer.alloc(400_000, "fn artifact ")
      const source = join(folder.path, "bundle.mjs")
      await writeFile(source, bytes)
      const stored = await registry.artifacts.put("default", { path: source })
      expect(stored).toEqual(await registry.artifacts.put("default", new Uint8Array(bytes)))
      expect(stored.sizeBytes).toBe(bytes.length)
      expect(Buffer.compare(await registry.artifacts.get("default", stored.digest), bytes)).toBe(0)
      const copy = join(folder.path, "copy.mjs")
      await registry.artifacts.getToFile("default", stored.digest, copy)
      expect(Buffer.compare(await readFile(copy), bytes)).toBe(0)
    })

    test("artifacts of one namespace are not seen in another", async () => {
      const { digest } = await registry.artifacts.put("default", artifact("only here"))
      await expect(registry.artifacts.get("team-a", digest)).rejects.toMatchObject({ reason: "ARTIFACT_NOT_FOUND" })
      await registry.artifacts.put("team-a", artifact("something"))
      await expect(registry.artifacts.get("team-a", digest)).rejects.toMatchObject({ reason: "ARTIFACT_NOT_FOUND" })
    })

    test("a version is fixed: the same content again changes nothing, other content is refused", async () => {
      const wanted = manifest({ version: "1.2.0" })
      const first = await deploy(wanted)
      const again = await deploy(wanted)
      expect(again).toMatchObject({ unchanged: true, revision: first.revision, digest: first.digest })
      await expect(deploy(wanted, "two")).rejects.toMatchObject({ code: "already_exists", reason: "VERSION_EXISTS" })
      await expect(deploy({ ...wanted, timeoutMs: 5 })).rejects.toMatchObject({ reason: "VERSION_EXISTS" })
      expect((await registry.getFunction(ref(wanted))).record.generation).toBe(1)
    })

    test("without a version: patch + 1 for other content, the active version for the same", async () => {
      const wanted = manifest()
      expect((await deploy(wanted, "one")).ref.version).toBe("0.0.1")
      expect((await deploy(wanted, "two")).ref.version).toBe("0.0.2")
      expect(await deploy(wanted, "two")).toMatchObject({ ref: { version: "0.0.2" }, unchanged: true })
      await deploy({ ...wanted, version: "2.5.9" }, "three")
      await registry.setActiveVersion(ref(wanted), "0.0.1")
      expect((await deploy(wanted, "four")).ref.version).toBe("2.5.10")
    })

    test("deploying a version that is there but not active makes it active", async () => {
      const wanted = manifest()
      await deploy({ ...wanted, version: "1.0.0" }, "one")
      await deploy({ ...wanted, version: "1.1.0" }, "two")
      expect(await deploy({ ...wanted, version: "1.0.0" }, "one")).toMatchObject({ unchanged: false })
      expect((await registry.getFunction(ref(wanted))).record).toMatchObject({ activeVersion: "1.0.0", generation: 3 })
    })

    test("the language is fixed by the first deploy", async () => {
      const wanted = manifest()
      await deploy(wanted)
      await expect(deploy({ ...wanted, language: "go", runtime: "plugin" }, "two")).rejects.toMatchObject({ reason: "LANGUAGE_FIXED" })
    })

    test("R-RG-3: two deployers at once lose nothing", async () => {
      const wanted = manifest()
      const texts = Array.from({ length: 8 }, (_, i) => `build ${i}`)
      const results = await Promise.all(texts.map((text) => deploy(wanted, text)))
      expect(new Set(results.map((result) => result.ref.version)).size).toBe(8)
      const { record } = await registry.getFunction(ref(wanted))
      expect(record.generation).toBe(8)
      const digests = new Map<string, string | undefined>()
      for await (const { version, artifact: stored } of registry.listVersions(ref(wanted))) digests.set(version, stored?.digest)
      for (const { ref: deployed, digest } of results) expect(digests.get(deployed.version)).toBe(digest)
    })

    test("two deployers of one version: equal content succeeds twice, different content once", async () => {
      const same = manifest({ version: "1.0.0" })
      const equal = await Promise.all([deploy(same), deploy(same), deploy(same)])
      expect(equal.filter((result) => !result.unchanged).length).toBeGreaterThanOrEqual(1)
      const other = manifest({ version: "1.0.0" })
      const settled = await Promise.allSettled([deploy(other, "one"), deploy(other, "two")])
      expect(settled.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"])
      const lost = settled.find((result) => result.status === "rejected")
      expect(lost?.reason).toMatchObject({ reason: "VERSION_EXISTS" })
    })

    test("the progress of a deploy is told", async () => {
      const steps: DeployProgress[] = []
      const bytes = new Uint8Array(300_000).fill(7)
      await registry.deploy(manifest(), { artifact: bytes, ...OK, onProgress: (step) => steps.push(step) })
      expect(steps).toContainEqual({ step: "upload", sentBytes: 300_000, sizeBytes: 300_000 })
      expect(steps.at(-1)).toEqual({ step: "commit", version: "0.0.1" })
    })

    test.each<[string, Partial<FunctionManifest>, string, string]>([
      ["secrets", { secrets: { token: "x" } }, "FEATURE_UNSUPPORTED", "secrets"],
      ["http", { http: { path: "/" } }, "FEATURE_UNSUPPORTED", "http"],
      [
        "a sandbox for WebAssembly",
        { runtime: "wasm", language: "rust", isolation: { level: "sandbox" } },
        "ISOLATION_UNAVAILABLE",
        "level",
      ],
      [
        "a network for WebAssembly",
        { runtime: "wasm", language: "rust", isolation: { network: "full" } },
        "ISOLATION_UNAVAILABLE",
        "network",
      ],
      ["memory of a builtin", { runtime: "builtin", memoryMb: 64 }, "ISOLATION_UNAVAILABLE", "memoryMb"],
      ["the processes of a builtin", { runtime: "builtin", pids: 64 }, "ISOLATION_UNAVAILABLE", "pids"],
      ["a sandbox for a builtin", { runtime: "builtin", isolation: { level: "sandbox" } }, "ISOLATION_UNAVAILABLE", "isolation.level"],
    ])("R-PL-6: %s is refused by name, not ignored", async (_, overrides, reason, named) => {
      const wanted = manifest(overrides)
      const refusal = deploy(wanted)
      await expect(refusal).rejects.toMatchObject({ reason })
      await expect(refusal).rejects.toThrow(named)
      expect(await registry.findFunction(ref(wanted))).toBeUndefined()
    })

    test.each<[string, Partial<FunctionManifest>, string]>([
      ["stdin of a module", { stdin: "data" }, "stdin"],
      ["processor time of an instance that stays", { cpuTimeMs: 1_000 }, "cpuTimeMs"],
      ["concurrency of a wasm instance", { runtime: "wasm", language: "rust", concurrency: 2 }, "concurrency"],
      ["level wasm of a command", { runtime: "command", language: "shell", isolation: { level: "wasm" } }, "isolation.level"],
    ])("%s is refused by name: it would mean nothing", async (_, overrides, named) => {
      await expect(deploy(manifest(overrides))).rejects.toThrow(named)
    })

    test("an archive is stored as one, and needs a command that says what to run in it", async () => {
      const archive = { artifact: Buffer.from("tar"), fileName: "many.tar", archive: true, ...OK }
      const command = manifest({ runtime: "command", language: "ruby", command: ["ruby", "{artifact}/main.rb"], stdin: "data" })
      const { ref: deployed } = await registry.deploy(command, archive)
      const definition = await registry.getDefinition(deployed)
      expect(definition).toMatchObject({ stdin: "data", artifact: { fileName: "many.tar", archive: true, executable: false } })
      expect(commandLine(definition, "/unpacked")).toEqual(["ruby", "/unpacked/main.rb"])
      const { command: _, ...silent } = command
      await expect(registry.deploy({ ...silent, version: "2.0.0" }, archive)).rejects.toMatchObject({ reason: "INVALID_DEFINITION" })
      await expect(registry.deploy(manifest(), archive)).rejects.toMatchObject({ reason: "INVALID_ARTIFACT" })
    })

    test("a wasm function has a memory limit, its own or the default, and is of level wasm", async () => {
      const wanted = manifest({ runtime: "wasm", language: "rust", isolation: { level: "wasm" } })
      await deploy(wanted)
      expect(await registry.getDefinition(ref(wanted))).toMatchObject({ memoryMb: 256, concurrency: 1 })
      await deploy({ ...wanted, memoryMb: 32 })
      expect(await registry.getDefinition(ref(wanted))).toMatchObject({ memoryMb: 32 })
    })

    test("R-PL-6: limits, network and files are stored as they are asked for: each host says itself what it can keep", async () => {
      const isolation = { level: "sandbox" as const, network: ["api.example.com:443"], files: [{ path: "/srv/models", at: "/models" }] }
      const wanted = manifest({ runtime: "plugin", memoryMb: 64, cpu: 0.5, pids: 32, isolation })
      await deploy(wanted)
      const definition = await registry.getDefinition(ref(wanted))
      expect(definition).toMatchObject({ memoryMb: 64, cpu: 0.5, pids: 32 })
      expect(isolationRequest(definition)).toEqual(isolation)
    })

    test("R-PL-6: what the active version asks of its host is in the record, for hosts to judge, unless it is too long", async () => {
      const asks = { memoryMb: 64, pids: 20, isolation: { level: "sandbox" as const, network: ["db.internal:5432"] } }
      const first = manifest({ runtime: "plugin", version: "1.0.0", ...asks })
      const { name } = first
      const recorded = async (): Promise<unknown> => (await registry.getFunction(ref(first))).record.asks
      await deploy(first)
      expect(await recorded()).toEqual({ version: "1.0.0", ...asks })
      await deploy(manifest({ name, runtime: "plugin", version: "2.0.0" }))
      expect(await recorded()).toBeUndefined()
      await registry.setActiveVersion(ref(first), "1.0.0")
      expect(await recorded()).toEqual({ version: "1.0.0", ...asks })
      const files = Array.from({ length: 32 }, (_, n) => ({ path: `/srv/${"x".repeat(60)}${n}` }))
      await deploy(manifest({ name, runtime: "plugin", version: "3.0.0", isolation: { files } }))
      expect(await recorded()).toBeUndefined()
    })

    test("R-IV-7: retry policy and queue settings are stored, the active version's maxPending in the record too", async () => {
      const wanted = manifest({
        version: "1.0.0",
        retry: { attempts: 5, except: ["NO_STOCK"] },
        queue: { maxPending: 7, ackWaitMs: 1_000 },
        record: "all",
      })
      const result = await deploy(wanted)
      expect(result.warnings).toEqual([])
      expect(await registry.getDefinition(result.ref)).toMatchObject({
        retry: { attempts: 5, initialMs: 1000, maxMs: 30_000, except: ["NO_STOCK"] },
        queue: { maxPending: 7, ackWaitMs: 1_000 },
      })
      expect((await registry.getFunction(result.ref)).record.maxPending).toBe(7)
      await deploy({ ...wanted, version: "2.0.0", queue: {} })
      expect((await registry.getFunction(result.ref)).record).not.toHaveProperty("maxPending")
      await registry.setActiveVersion(result.ref, "1.0.0")
      expect((await registry.getFunction(result.ref)).record.maxPending).toBe(7)
    })

    test("all problems of a manifest are reported together", async () => {
      const bad = { name: "No Such", language: "klingon", runtime: "module", version: "1", timeOut: 3 } as unknown as FunctionManifest
      const refusal: unknown = await deploy(bad).catch((thrown: unknown) => thrown)
      expect(refusal).toMatchObject({ reason: "INVALID_DEFINITION" })
      const { problems } = (refusal as FnError).details as { problems: string[] }
      expect(problems.join("\n")).toMatch(/name: [\s\S]*version: [\s\S]*language: [\s\S]*timeOut/)
    })

    test("a module without an artifact, an empty one, and a builtin with one are refused", async () => {
      await expect(registry.deploy(manifest(), OK)).rejects.toMatchObject({ reason: "INVALID_ARTIFACT" })
      await expect(registry.deploy(manifest(), { artifact: new Uint8Array(0), ...OK })).rejects.toMatchObject({
        reason: "INVALID_ARTIFACT",
      })
      await expect(deploy(manifest({ runtime: "builtin" }))).rejects.toMatchObject({ reason: "INVALID_ARTIFACT" })
      await expect(registry.deploy(manifest(), { artifact: { path: "/no/such/file" }, ...OK })).rejects.toMatchObject({
        reason: "INVALID_ARTIFACT",
      })
    })

    test("R-FN-5: builtins, and commands that name no artifact, need none", async () => {
      const builtin = manifest({ runtime: "builtin" })
      await registry.deploy(builtin, OK)
      expect((await registry.getDefinition(ref(builtin))).artifact).toBeUndefined()
      const command = manifest({ runtime: "command", language: "shell", command: ["/bin/cat"] })
      expect(await registry.deploy(command, OK)).not.toHaveProperty("digest")
    })

    test("a record that would not fit into 2 KB is refused before anything is written", async () => {
      const metadata = Object.fromEntries(Array.from({ length: 40 }, (_, i) => [`key${i}`, "x".repeat(60)]))
      const wanted = manifest({ metadata })
      await expect(deploy(wanted)).rejects.toMatchObject({ reason: "INVALID_DEFINITION", message: expect.stringContaining("2048") })
      expect(await registry.findDefinition({ ...ref(wanted), version: "0.0.1" })).toBeUndefined()
    })

    test("names are checked on every way in", async () => {
      const bad = { namespace: "default", name: "a.b" }
      await expect(registry.getFunction(bad)).rejects.toMatchObject({ reason: "INVALID_NAME" })
      await expect(registry.getFunction({ namespace: "queue", name: "a" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
      await expect(registry.deleteFunction({ namespace: "default", name: "*" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
      await expect(registry.getDefinition({ ...bad, name: "a", version: "1.0+x" })).rejects.toMatchObject({ reason: "INVALID_NAME" })
      await expect(registry.artifacts.get("default", "../../etc")).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    })
  })

  describe(`${name}: versions and aliases`, () => {
    test("R-RG-3: promote, alias, and the definition each of them means", async () => {
      const wanted = manifest()
      await deploy({ ...wanted, version: "1.0.0", metadata: { line: "one" } }, "one")
      await deploy({ ...wanted, version: "2.0.0", metadata: { line: "two" } }, "two")
      await registry.setAlias(ref(wanted), "stable", "1.0.0")
      expect((await registry.getDefinition({ ...ref(wanted), version: "stable" })).version).toBe("1.0.0")
      const promoted = await registry.setActiveVersion(ref(wanted), "stable")
      expect(promoted.record).toMatchObject({ activeVersion: "1.0.0", metadata: { line: "one" }, generation: 4 })
      expect((await registry.getDefinition(ref(wanted))).version).toBe("1.0.0")
      expect((await registry.setActiveVersion(ref(wanted), "1.0.0")).revision).toBe(promoted.revision)
      expect((await registry.deleteAlias(ref(wanted), "stable")).record.aliases).toEqual({})
      await expect(registry.getDefinition({ ...ref(wanted), version: "stable" })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
    })

    test("what is not there is said precisely", async () => {
      const wanted = manifest()
      await expect(registry.getFunction(ref(wanted))).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
      await expect(registry.getDefinition({ ...ref(wanted), version: "1.0.0" })).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
      await expect(registry.deleteFunction(ref(wanted))).rejects.toMatchObject({ reason: "FUNCTION_NOT_FOUND" })
      await deploy(wanted)
      await expect(registry.getDefinition({ ...ref(wanted), version: "9.9.9" })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
      await expect(registry.setActiveVersion(ref(wanted), "9.9.9")).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
      await expect(registry.setAlias(ref(wanted), "stable", "nothing")).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
      await expect(registry.setAlias(ref(wanted), "constructor", "0.0.1")).resolves.toBeDefined()
      await expect(registry.getDefinition({ ...ref(wanted), version: "tostring" })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
    })

    test("a change that names a stale revision fails; one that names none is repeated", async () => {
      const wanted = manifest()
      const { revision } = await deploy(wanted)
      await registry.setAlias(ref(wanted), "a", "0.0.1", { revision })
      await expect(registry.setAlias(ref(wanted), "b", "0.0.1", { revision })).rejects.toMatchObject({ reason: "STALE_REVISION" })
      const aliases = Array.from({ length: 6 }, (_, i) => `alias-${i}`)
      await Promise.all(aliases.map((alias) => registry.setAlias(ref(wanted), alias, "0.0.1")))
      const { record } = await registry.getFunction(ref(wanted))
      expect(Object.keys(record.aliases).sort()).toEqual(["a", ...aliases])
      await expect(registry.deleteFunction(ref(wanted), { revision })).rejects.toMatchObject({ reason: "STALE_REVISION" })
    })

    test("R-RG-3: a version that is active or has an alias cannot be deleted; another can", async () => {
      const wanted = manifest()
      await deploy({ ...wanted, version: "1.0.0" }, "one")
      await deploy({ ...wanted, version: "1.1.0" }, "two")
      await deploy({ ...wanted, version: "1.2.0" }, "three")
      await registry.setAlias(ref(wanted), "stable", "1.0.0")
      await expect(registry.deleteVersion({ ...ref(wanted), version: "1.2.0" })).rejects.toMatchObject({ reason: "VERSION_IN_USE" })
      await expect(registry.deleteVersion({ ...ref(wanted), version: "1.0.0" })).rejects.toMatchObject({ reason: "VERSION_IN_USE" })
      await registry.deleteVersion({ ...ref(wanted), version: "1.1.0" })
      await expect(registry.deleteVersion({ ...ref(wanted), version: "1.1.0" })).rejects.toMatchObject({ reason: "VERSION_NOT_FOUND" })
      expect(await collectVersions(registry, ref(wanted))).toEqual(["1.2.0", "1.0.0"])
    })

    test("a version that is promoted while it is deleted survives or the promotion fails, never half", async () => {
      for (let round = 0; round < 5; round++) {
        const wanted = manifest()
        await deploy({ ...wanted, version: "1.0.0" }, "one")
        await deploy({ ...wanted, version: "2.0.0" }, "two")
        const [promoted, deleted] = await Promise.allSettled([
          registry.setActiveVersion(ref(wanted), "1.0.0"),
          registry.deleteVersion({ ...ref(wanted), version: "1.0.0" }),
        ])
        expect([promoted.status, deleted.status].sort()).toEqual(["fulfilled", "rejected"])
        await expect(registry.getDefinition(ref(wanted))).resolves.toBeDefined()
      }
    })

    test("a deleted function is gone with its versions, and can be deployed anew; its artifact stays", async () => {
      const wanted = manifest({ version: "1.0.0" })
      const { digest } = await deploy(wanted)
      await registry.deleteFunction(ref(wanted))
      expect(await registry.findFunction(ref(wanted))).toBeUndefined()
      expect(await registry.findDefinition({ ...ref(wanted), version: "1.0.0" })).toBeUndefined()
      expect(await collectVersions(registry, ref(wanted))).toEqual([])
      await expect(registry.artifacts.get("default", digest as string)).resolves.toBeDefined()
      expect(await deploy(wanted, "other content")).toMatchObject({ unchanged: false })
      expect((await registry.getFunction(ref(wanted))).record.generation).toBe(1)
    })

    test("a function that is deployed while it is deleted is whole or gone", async () => {
      for (let round = 0; round < 5; round++) {
        const wanted = manifest({ version: "1.0.0" })
        await deploy(wanted)
        await Promise.allSettled([registry.deleteFunction(ref(wanted)), deploy({ ...wanted, version: round % 2 ? "1.0.0" : "1.0.1" })])
        const found = await registry.findFunction(ref(wanted))
        if (found) await expect(registry.getDefinition(ref(wanted))).resolves.toBeDefined()
      }
    })

    test("versions are listed newest first by semver", async () => {
      const wanted = manifest()
      for (const version of ["1.10.0", "1.9.0", "1.10.0-rc.1", "1.10.0-rc.2"]) await deploy({ ...wanted, version }, version)
      expect(await collectVersions(registry, ref(wanted))).toEqual(["1.10.0", "1.10.0-rc.2", "1.10.0-rc.1", "1.9.0"])
    })

    test("R-DP-1: the history of a function shows its last ten revisions, newest first, deletions too", async () => {
      const wanted = manifest()
      for (let i = 0; i < 11; i++) await deploy(wanted, `build ${i}`)
      await registry.deleteFunction(ref(wanted))
      const history = await registry.history(ref(wanted))
      expect(history).toHaveLength(10)
      expect(history[0]).not.toHaveProperty("record")
      expect(history.slice(1).map(({ record }) => record?.activeVersion)).toEqual(Array.from({ length: 9 }, (_, i) => `0.0.${11 - i}`))
      expect(history.every(({ at }) => !Number.isNaN(Date.parse(at)))).toBe(true)
      expect(await registry.history(ref(manifest()))).toEqual([])
    })
  })

  describe(`${name}: lists`, () => {
    test("R-RG-3: filters and pages cover every function once", async () => {
      const namespace = "pages"
      for (const i of [3, 1, 4, 2, 0]) {
        const runtime = i % 2 ? "builtin" : "command"
        await registry.deploy(
          manifest({ namespace, name: `p${i}`, runtime, command: ["/bin/cat"], metadata: { parity: String(i % 2), all: "yes" } }),
          OK,
        )
      }
      const seen: string[] = []
      let startAfter: string | undefined
      do {
        const page = await registry.pageFunctions({ namespace, limit: 2, startAfter })
        seen.push(...page.functions.map(({ record }) => record.name))
        expect(page.hasMore).toBe(page.nextStartAfter !== undefined)
        startAfter = page.nextStartAfter
      } while (startAfter !== undefined)
      expect(seen).toEqual(["p0", "p1", "p2", "p3", "p4"])
      const listed = async (filter: Parameters<Registry["listFunctions"]>[0]): Promise<string[]> => {
        const found: string[] = []
        for await (const { record } of registry.listFunctions(filter)) found.push(record.name)
        return found
      }
      expect(await listed({ namespace, runtime: "builtin" })).toEqual(["p1", "p3"])
      expect(await listed({ namespace, metadata: { parity: "0", all: "yes" } })).toEqual(["p0", "p2", "p4"])
      expect(await listed({ namespace, metadata: { parity: "0", all: "no" } })).toEqual([])
      expect(await listed({ namespace, language: "go" })).toEqual([])
      expect(await listed({ namespace, limit: 3 })).toEqual(["p0", "p1", "p2"])
      expect(await listed({ namespace: "nobody" })).toEqual([])
      expect((await listed({})).length).toBeGreaterThan(5)
      await expect(registry.pageFunctions({ startAfter: "junk" })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
      await expect(registry.pageFunctions({ limit: 0 })).rejects.toMatchObject({ reason: "INVALID_REQUEST" })
    })
  })

  describe(`${name}: watch`, () => {
    test("R-RG-4: a watch delivers what is there, then every change, no revision twice", async () => {
      await using watched = await watch(registry)
      const before = manifest()
      const { revision } = await deploy(before)
      await until(() => watched.last(before.name)?.revision === revision, { name: "the first deploy" })
      await using late = await watch(registry)
      expect(late.last(before.name)).toMatchObject({ revision, record: { activeVersion: "0.0.1" } })
      const second = await deploy(before, "two")
      await registry.setAlias(ref(before), "stable", "0.0.1")
      await registry.deleteFunction(ref(before))
      for (const one of [watched, late]) {
        await until(() => one.last(before.name) && !one.last(before.name)?.record, { name: "the deletion" })
        const of = one.changes.filter((change) => change.name === before.name)
        expect(of.map((change) => change.record?.generation)).toEqual([1, 2, 3, undefined])
        expect(of[1]?.revision).toBe(second.revision)
        const revisions = of.map((change) => change.revision)
        expect(revisions).toEqual([...new Set(revisions)].sort((a, b) => a - b))
        expect(of.every((change) => change.key === `f.default.${before.name}` && !change.problem)).toBe(true)
      }
    })

    test("junk and newer schemas are problems of the watch, never its end, and are not rewritten", async () => {
      await using watched = await watch(registry)
      const newer = JSON.stringify({ schema: 2, namespace: "default", name: "from-the-future" })
      await target.writeRaw("f.default.junk", "{not json")
      await target.writeRaw("f.default.wrong", JSON.stringify({ schema: 1, namespace: "default", name: "other" }))
      await target.writeRaw("f.default.from-the-future", newer)
      await target.writeRaw("f.Default.Bad", "x")
      await target.writeRaw("f.too.many.tokens", "x")
      const after = manifest()
      await deploy(after)
      await until(() => watched.last(after.name)?.record, { name: "the deploy after the junk" })
      const problem = (key: string): FnError | undefined => watched.changes.find((change) => change.key === key)?.problem
      expect(problem("f.default.junk")).toMatchObject({ reason: "RECORD_CORRUPT" })
      expect(problem("f.default.wrong")).toMatchObject({ reason: "RECORD_CORRUPT" })
      expect(problem("f.default.from-the-future")).toMatchObject({ reason: "SCHEMA_TOO_NEW" })
      expect(watched.changes.find((change) => change.key === "f.Default.Bad")).toMatchObject({ namespace: "", name: "" })
      expect(problem("f.too.many.tokens")).toMatchObject({ reason: "RECORD_CORRUPT" })
      await expect(registry.getFunction({ namespace: "default", name: "junk" })).rejects.toMatchObject({ reason: "RECORD_CORRUPT" })
      const future = { namespace: "default", name: "from-the-future" }
      await expect(deploy(manifest({ name: future.name }))).rejects.toMatchObject({ reason: "SCHEMA_TOO_NEW" })
      await expect(registry.deleteFunction(future)).rejects.toMatchObject({ reason: "SCHEMA_TOO_NEW" })
      expect(await registry.history(future)).toMatchObject([{ problem: { reason: "SCHEMA_TOO_NEW" } }])
      for await (const { record } of registry.listFunctions()) expect(["junk", "wrong", future.name]).not.toContain(record.name)
      const repaired = await deploy(manifest({ name: "junk" }))
      expect(repaired.warnings.join()).toContain("f.default.junk")
      await until(() => watched.last("junk")?.record, { name: "the repaired record" })
    })

    test("what a newer release added to a record survives a change by this one", async () => {
      const wanted = manifest()
      await deploy(wanted)
      const { record } = await registry.getFunction(ref(wanted))
      await target.writeRaw(`f.default.${wanted.name}`, JSON.stringify({ ...record, weights: { "0.0.1": 100 } }))
      const { record: changed } = await registry.setAlias(ref(wanted), "stable", "0.0.1")
      expect(changed).toMatchObject({ weights: { "0.0.1": 100 }, aliases: { stable: "0.0.1" } })
    })

    test("a watcher that throws keeps being told", async () => {
      const stop = new AbortController()
      const seen: string[] = []
      await registry.watch({
        signal: stop.signal,
        onChange: (change) => {
          seen.push(change.name)
          throw new Error("the watcher's own fault")
        },
      })
      const wanted = manifest()
      await deploy(wanted)
      await until(() => seen.includes(wanted.name), { name: "a change after the throw" })
      stop.abort()
    })

    test("an aborted watch is told nothing more", async () => {
      const aborted = new AbortController()
      const seen: FunctionChange[] = []
      await registry.watch({ signal: aborted.signal, onChange: (change) => seen.push(change) })
      aborted.abort()
      const count = seen.length
      await using other = await watch(registry)
      const wanted = manifest()
      await deploy(wanted)
      await until(() => other.last(wanted.name), { name: "the change at another watch" })
      expect(seen).toHaveLength(count)
      await expect(registry.watch({ signal: aborted.signal, onChange: () => undefined })).rejects.toMatchObject({ reason: "CANCELLED" })
    })

    test("one function is followed from its present record on, and only it", async () => {
      const wanted = manifest()
      const absent = manifest()
      const { revision } = await deploy(wanted)
      const changes: FunctionChange[] = []
      const later: FunctionChange[] = []
      const stop = registry.follow(ref(wanted), (change) => changes.push(change))
      const stopLater = registry.follow(ref(absent), (change) => later.push(change))
      await until(() => changes[0]?.revision === revision, { name: "the present record" })
      await deploy(absent)
      await until(() => later[0]?.record, { name: "the record of a function that was absent" })
      await deploy(wanted, "two")
      await until(() => changes[1]?.record?.activeVersion === "0.0.2", { name: "the change" })
      expect(changes.map((change) => change.name)).toEqual([wanted.name, wanted.name])
      stop()
      stopLater()
    })
  })
}

/** A watch that keeps what it was told. */
async function watch(
  registry: Registry,
): Promise<AsyncDisposable & { changes: FunctionChange[]; last(name: string): FunctionChange | undefined }> {
  const stop = new AbortController()
  const changes: FunctionChange[] = []
  await registry.watch({ signal: stop.signal, onChange: (change) => changes.push(change) })
  return {
    changes,
    last: (name) => changes.findLast((change) => change.name === name),
    [Symbol.asyncDispose]: async () => stop.abort(),
  }
}

async function collectVersions(registry: Registry, ref: { namespace: string; name: string }): Promise<string[]> {
  const versions: string[] = []
  for await (const { version } of registry.listVersions(ref)) versions.push(version)
  return versions
}
