/** Redeploys under load, as callers see them. */
import { fileURLToPath } from "node:url"
import type { FunctionManifest } from "@fn/registry"
import { until } from "@fn/testing"
import { afterAll, beforeAll, describe, expect, test } from "@jest/globals"
import { openLoop } from "../support/load.mjs"
import { type Platform, startPlatform } from "../support/platform.mjs"

/** Three events that say which version made them, the last one a while after the first. */
const HANDLER = `async () => {
  const first = { type: "part", data: VERSION }
  await new Promise((resolve) => setTimeout(resolve, 25))
  return [first, { type: "part", data: VERSION }, { type: "part", data: VERSION }]
}`
const PLUGIN = fileURLToPath(new URL("./fixtures/versioned/main.mjs", import.meta.url))

interface Part {
  readonly data?: unknown
}

/** What one call gave. */
interface Answer {
  /** Version of each event. */
  readonly parts: unknown[]
  readonly sentAt: number
}

describe("redeploy under load", () => {
  let platform: Platform

  beforeAll(async () => {
    platform = await startPlatform({ hosts: 2, gateway: true })
  }, 60_000)
  afterAll(() => platform.dispose())

  const kinds: Record<string, (name: string, version: string) => Promise<unknown>> = {
    module: (name, version) =>
      platform.deployModule(name, `const VERSION = ${JSON.stringify(version)}\nexport default ${HANDLER}`, { version }),
    plugin: (name, version) => {
      const manifest: Partial<FunctionManifest> = { version, env: { VERSION: version } }
      return platform.deployPlugin(name, [process.execPath, PLUGIN], manifest)
    },
  }

  /** Every third call through HTTP, every third by bare NATS, the others by the client. */
  async function callBy(n: number, name: string): Promise<unknown[]> {
    if (n % 3 === 0) return (await platform.client.invoke(name, {}, { timeoutMs: 10_000 })).map(({ data }) => data)
    if (n % 3 === 1) return byHttp(name)
    return byNats(name)
  }

  async function byHttp(name: string): Promise<unknown[]> {
    const response = await fetch(`${platform.http}/function/${name}`, { method: "POST", body: "{}" })
    const body = (await response.json()) as Part[]
    if (response.status !== 200) throw new Error(JSON.stringify(body))
    return body.map(({ data }) => data)
  }

  async function byNats(name: string): Promise<unknown[]> {
    const reply = await platform.nc.request(`function.js.${name}`, "{}", { timeout: 10_000 })
    if (reply.headers?.has("Nats-Service-Error-Code")) throw new Error(reply.headers.get("Nats-Service-Error"))
    // The version that the host says ran it counts as one more part.
    return [...reply.json<Part[]>().map(({ data }) => data), reply.headers?.get("Fn-Version")]
  }

  test.each(Object.keys(kinds))(
    "a %s: 100 calls/s, 5 redeploys: no call fails, each reply is of one version, and deploy returns when the new one is live",
    async (kind) => {
      const deploy = kinds[kind] as (typeof kinds)[string]
      const name = `redeployed-${kind}`
      await deploy(name, "1.0.0")
      await callBy(0, name)
      const answers: Answer[] = []
      const failures: unknown[] = []
      const load = openLoop(100, async (n) => {
        const sentAt = performance.now()
        try {
          answers.push({ parts: await callBy(n, name), sentAt })
        } catch (thrown) {
          failures.push(thrown)
        }
      })
      const deployed: { version: string; at: number }[] = []
      for (let minor = 1; minor <= 5; minor++) {
        const soFar = load.made
        await until(() => load.made >= soFar + 40, { name: "load between two deploys" })
        await deploy(name, `1.${minor}.0`)
        deployed.push({ version: `1.${minor}.0`, at: performance.now() })
      }
      const soFar = load.made
      await until(() => load.made >= soFar + 40, { name: "load after the last deploy" })
      const made = await load.stop()

      expect(failures).toEqual([])
      expect(answers.length).toBe(made)
      expect(answers.filter(({ parts }) => parts.length < 3 || new Set(parts).size !== 1)).toEqual([])
      expect(new Set(answers.map(({ parts }) => parts[0]))).toEqual(new Set(["1.0.0", ...deployed.map(({ version }) => version)]))
      // Whoever calls after a deploy has returned reaches that version or a later one.
      const stale = answers.filter(({ parts, sentAt }) => deployed.some(({ version, at }) => sentAt > at && String(parts[0]) < version))
      expect(stale).toEqual([])
    },
    60_000,
  )
})
