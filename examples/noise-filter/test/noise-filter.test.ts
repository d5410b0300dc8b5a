import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync } from "node:fs"
import { createRequire } from "node:module"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { newId, noopLogger, type WireEvent } from "@fn/core"
import { findOnPath, spawnChild } from "@fn/process"
import type { FunctionDefinition } from "@fn/registry"
import { createPluginStarter, type Instance } from "@fn/runtime"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"

interface Payload {
  readonly action?: string
  readonly sender?: { readonly login: string; readonly type: string }
  readonly repository?: { readonly full_name: string }
}
interface Hook {
  readonly type: string
  readonly payload: Payload
}

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples") as { name: string; examples: Payload[] }[]
const hooks: Hook[] = examples.flatMap(({ name, examples }) =>
  examples.map((payload) => ({ type: `com.github.${name}${payload.action ? `.${payload.action}` : ""}`, payload })),
)
const source = fileURLToPath(new URL("..", import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "fn-noise-filter-"))
const go = findOnPath("go")
let instance: Instance | undefined

async function run(command: string, args: string[]): Promise<void> {
  const child = spawnChild({ command, args, cwd: source, env: { ...(process.env as Record<string, string>), CGO_ENABLED: "0" } })
  let output = ""
  for (const pipe of [child.stdout, child.stderr]) pipe?.on("data", (chunk: Buffer) => (output += chunk.toString()))
  const exit = await child.exited
  if (exit.code !== 0) throw new Error(`${command} ${args.join(" ")}: ${output}`)
}

async function start(config: Record<string, unknown>): Promise<Instance> {
  const path = join(folder, "noise-filter")
  const bytes = readFileSync(path)
  const fn = { namespace: "default", name: "noise-filter", version: "1.0.0", instance: newId() }
  const definition: FunctionDefinition = {
    ...fn,
    schema: 1,
    language: "go",
    runtime: "plugin",
    artifact: {
      digest: `sha256:${createHash("sha256").update(bytes).digest("hex")}`,
      sizeBytes: bytes.length,
      fileName: "noise-filter",
      executable: true,
    },
    config,
    env: {},
    timeoutMs: 5_000,
    concurrency: 100,
    instances: { min: 0, max: 1 },
    record: "failures",
    metadata: {},
    deployedBy: "test",
    deployedAt: "2026-11-20T00:00:00Z",
  }
  const spec = { fn, definition, artifactPath: path, logger: noopLogger }
  return await createPluginStarter({ logger: noopLogger }).start(spec, new AbortController().signal)
}

async function judge(target: Instance, { type, payload }: Hook): Promise<Record<string, unknown> | undefined> {
  const event: WireEvent = {
    attributes: {
      id: newId(),
      source: `https://github.com/${payload.repository?.full_name ?? "nobody/nothing"}`,
      type,
      specversion: "1.0",
      datacontenttype: "application/json",
    },
    data: Buffer.from(JSON.stringify(payload)),
  }
  const events = await target.execute({ invocationId: newId(), attempt: 1, deadline: Date.now() + 5_000, event })
  expect(events.length).toBeLessThanOrEqual(1)
  if (events[0] === undefined) return undefined
  expect(events[0].attributes).toMatchObject({ type: "com.example.github.signal", source: "/functions/default/noise-filter" })
  return JSON.parse(Buffer.from(events[0].data as Uint8Array).toString("utf8")) as Record<string, unknown>
}

function hookOf(type: string, fits: (payload: Payload) => boolean = () => true): Hook {
  const found = hooks.find((hook) => hook.type === type && hook.payload.sender?.type !== "Bot" && fits(hook.payload))
  if (!found) throw new Error(`there is no example of ${type}`)
  return found
}

if (!go) {
  test("the Go toolchain is needed", () => {
    console.warn("SKIPPED: needs go: the Go example noise-filter was neither built nor run")
  })
} else {
  describe("R-FN-6, R-PL-3: a Go plugin on GitHub's example payloads", () => {
    beforeAll(async () => {
      await run(go, ["build", "-trimpath", "-o", join(folder, "noise-filter"), "."])
      instance = await start({ mute: [] })
    }, 240_000)
    afterAll(async () => {
      await instance?.close({ graceMs: 2_000 })
      rmSync(folder, { recursive: true, force: true })
    })

    test("its own tests pass", async () => {
      await run(go, ["test", "-trimpath", "./..."])
    }, 240_000)

    test("a new issue is a signal", async () => {
      const hook = hookOf("com.github.issues.opened")
      expect(await judge(instance as Instance, hook)).toMatchObject({
        what: "issues.opened",
        repository: hook.payload.repository?.full_name,
        by: hook.payload.sender?.login,
        reason: "somebody reported an issue",
      })
    })

    test.each(["issues.labeled", "star.created", "watch.started", "label.created", "workflow_job.queued", "ping"])(
      "%s is noise",
      async (name) => {
        expect(await judge(instance as Instance, hookOf(`com.github.${name}`))).toBeUndefined()
      },
    )

    test("every example goes through at once: nothing fails, and nothing of a bot comes out", async () => {
      const signals = await Promise.all(hooks.map((hook) => judge(instance as Instance, hook)))
      expect(hooks.length).toBeGreaterThan(200)
      const passed = hooks.filter((_hook, at) => signals[at] !== undefined)
      expect(passed.length).toBeGreaterThan(20)
      expect(passed.length).toBeLessThan(hooks.length / 2)
      for (const { payload } of passed) expect(payload.sender?.type).not.toBe("Bot")
      for (const [at, signal] of signals.entries()) {
        if (signal) expect(`com.github.${signal.what}`).toBe(hooks[at]?.type)
      }
    })

    test("data that is no payload is the caller's mistake, told with the field", async () => {
      const wrong = { type: "com.github.push", payload: { sender: "nobody" } as unknown as Payload }
      await expect(judge(instance as Instance, wrong)).rejects.toMatchObject({ code: "invalid_argument", reason: "INVALID_EVENT" })
    })

    test("a muted login is noise; a wrong key of the configuration keeps it from starting", async () => {
      const hook = hookOf("com.github.issues.opened")
      const muted = await start({ mute: [hook.payload.sender?.login] })
      try {
        expect(await judge(muted, hook)).toBeUndefined()
      } finally {
        await muted.close({ graceMs: 2_000 })
      }
      await expect(start({ mutes: [] })).rejects.toMatchObject({ code: "invalid_argument", reason: "INVALID_CONFIG" })
    })
  })
}
