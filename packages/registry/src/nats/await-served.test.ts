import { FnError, type FunctionStatus, RUNTIME_SERVICE_NAME, type StatusRequest, Subjects } from "@fn/core"
import { type MicroService, type NatsConnection, startMicroService } from "@fn/nats"
import { startTestServer } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import type { DeployProgress, DeployResult, Registry } from "../registry.js"
import { connectRegistry } from "./connect.js"
import { setupPlatform } from "./setup.js"

const subjects = new Subjects()

/** A NATS service that answers like a host; `answer` says what it knows of the function asked about, undefined keeps silent. */
async function startHost(
  nc: NatsConnection,
  answer: (request: StatusRequest) => Partial<FunctionStatus> | undefined,
  metadata: Record<string, string> = {},
): Promise<MicroService> {
  const service = await startMicroService(nc, {
    name: RUNTIME_SERVICE_NAME,
    version: "0.1.0",
    description: "a host of a test",
    metadata,
    endpoints: [],
  })
  nc.subscribe(subjects.status(service.id), {
    callback: (_, msg) => {
      const fn = answer(msg.json<StatusRequest>())
      if (fn) msg.respond(JSON.stringify({ host: service.id, functions: [fn], problems: [] }))
    },
  })
  return service
}

async function withRegistry(run: (nc: NatsConnection, registry: Registry) => Promise<void>): Promise<void> {
  await using server = await startTestServer()
  const nc = await server.connect()
  await setupPlatform(nc)
  const registry = await connectRegistry(nc)
  await run(nc, registry)
  await registry.close()
}

function deploy(registry: Registry, onProgress?: (progress: DeployProgress) => void): Promise<DeployResult> {
  return registry.deploy({ name: "hello", language: "js", runtime: "builtin" }, { onProgress })
}

describe("a deploy", () => {
  test("is done when every live host serves the revision, and says which", async () => {
    await withRegistry(async (nc, registry) => {
      const requests: StatusRequest[] = []
      const hosts = await Promise.all(
        [1, 2].map(() =>
          startHost(nc, (request) => {
            requests.push(request)
            return { function: "default/hello", revision: request.awaitRevision as number, served: true }
          }),
        ),
      )
      const progress: DeployProgress[] = []
      const startedAt = performance.now()
      const result = await deploy(registry, (step) => progress.push(step))
      expect(performance.now() - startedAt).toBeLessThan(2_000)
      expect(result).toMatchObject({ warnings: [], unchanged: false })
      expect(result.hosts.map(({ host, served }) => [host, served]).sort()).toEqual(hosts.map(({ id }) => [id, true]).sort())
      expect(requests[0]).toMatchObject({ function: "default/hello", awaitRevision: result.revision })
      expect(progress.at(-1)).toEqual({ step: "hosts", found: 2, answered: 2 })
      await Promise.all(hosts.map((host) => host.stop()))
    })
  })

  test("reports why a host does not serve it", async () => {
    await withRegistry(async (nc, registry) => {
      const error = FnError.of("BUILTIN_NOT_REGISTERED", "no builtin hello").toData()
      const host = await startHost(nc, ({ awaitRevision = 0 }) => ({
        function: "default/hello",
        revision: awaitRevision,
        served: false,
        error,
      }))
      const result = await deploy(registry)
      expect(result.hosts).toEqual([{ host: host.id, served: false, error }])
      expect(result.warnings.join()).toContain("BUILTIN_NOT_REGISTERED")
      await host.stop()
    })
  })

  test("ends after 5 s with a warning that names the silent host", async () => {
    await withRegistry(async (nc, registry) => {
      const silent = await startHost(nc, () => undefined)
      const startedAt = performance.now()
      const result = await deploy(registry)
      expect(performance.now() - startedAt).toBeLessThan(7_000)
      expect(result.hosts).toEqual([{ host: silent.id, served: false }])
      expect(result.warnings.join()).toContain(silent.id)
      await silent.stop()
    })
  }, 15_000)

  test("without a host is a success with a warning, at once", async () => {
    await withRegistry(async (_, registry) => {
      const result = await deploy(registry)
      expect(result.hosts).toEqual([])
      expect(result.warnings.join()).toContain("no runtime-service is running")
    })
  })

  test("hosts of another platform and strangers that answer the ping are not waited for", async () => {
    await withRegistry(async (nc, registry) => {
      const other = await startHost(nc, () => undefined, { prefix: "blue" })
      nc.subscribe(`$SRV.PING.${RUNTIME_SERVICE_NAME}`, { callback: (_, msg) => void msg.respond("junk") })
      nc.subscribe(`$SRV.PING.${RUNTIME_SERVICE_NAME}`, { callback: (_, msg) => void msg.respond('{"id":"a.b"}') })
      nc.subscribe(`$SRV.PING.${RUNTIME_SERVICE_NAME}`, { callback: (_, msg) => void msg.respond('{"id":"left-already"}') })
      const startedAt = performance.now()
      const result = await deploy(registry)
      expect(performance.now() - startedAt).toBeLessThan(2_000)
      expect(result.hosts).toEqual([])
      await other.stop()
    })
  })
})
