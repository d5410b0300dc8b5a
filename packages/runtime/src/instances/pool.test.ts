import { FnError, noopInstruments, noopLogger } from "@fn/core"
import type { FunctionDefinition } from "@fn/registry"
import { expect, test } from "@jest/globals"
import { specOf } from "../../test/plugin/support.js"
import { FunctionStats } from "../status/function-stats.js"
import type { Instance, InstanceStarter } from "./instance.js"
import { InstancePool, type PooledInstance } from "./pool.js"

/** An instance that dies when the test says so. */
class MortalInstance implements Instance {
  readonly exited: Promise<FnError | undefined>
  isOver = false
  #exit: (error: FnError | undefined) => void = () => undefined

  constructor(readonly id: string) {
    this.exited = new Promise((resolve) => {
      this.#exit = resolve
    })
  }

  execute(): never[] {
    return []
  }

  /** What ran it is gone. That it is, is told later: until then it is looked at why. */
  die(): void {
    this.isOver = true
  }

  tell(): Promise<unknown> {
    this.#exit(FnError.of("FUNCTION_CRASHED", "it died"))
    return this.exited
  }

  async close(): Promise<void> {
    this.#exit(undefined)
  }
}

function poolOf(overrides: Partial<FunctionDefinition>): { pool: InstancePool; started: MortalInstance[] } {
  const started: MortalInstance[] = []
  const starter: InstanceStarter = {
    start: async ({ fn }) => {
      const instance = new MortalInstance(fn.instance)
      started.push(instance)
      return instance
    },
    close: async () => undefined,
  }
  const pool = new InstancePool({
    definition: specOf(["unused"], { concurrency: 1, ...overrides }).definition,
    labels: { namespace: "default", name: "everything", version: "1.2.3", runtime: "plugin" },
    starter,
    artifactPath: async () => undefined,
    logger: noopLogger,
    instruments: noopInstruments,
    stats: new FunctionStats(),
    backoff: { initialMs: 1, maxMs: 1, loopAfter: 3 },
    closeGraceMs: 0,
    idleMs: 60_000,
  })
  return { pool, started }
}

test("R-IV-8: a slot given back by an execution on a dead instance goes to nobody: who waits gets another instance", async () => {
  const { pool, started } = poolOf({})
  const dying = await pool.acquire()
  const waiting = pool.acquire()
  const [first] = started as [MortalInstance]
  first.die()
  await first.tell()
  pool.release(dying)
  expect((await waiting).instance.id).not.toBe(first.id)
  await pool.close()
})

test("R-IV-8: nor does it while it is still looked at why the instance died", async () => {
  const { pool, started } = poolOf({ concurrency: 2 })
  const dying = await pool.acquire()
  const [first] = started as [MortalInstance]
  first.die()
  const waiting: Promise<PooledInstance>[] = [pool.acquire(), pool.acquire()]
  expect(pool.tryAcquire()).toBeUndefined()
  pool.release(dying)
  expect(started).toHaveLength(1)
  await first.tell()
  for (const acquired of await Promise.all(waiting)) expect(acquired.instance.id).toBe(started[1]?.id)
  expect(started).toHaveLength(2)
  await pool.close()
})
