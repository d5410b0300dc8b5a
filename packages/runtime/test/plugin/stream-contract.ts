import { FnError, INSTANCE_STREAM_WINDOW, type WireEvent } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import type { Instance } from "../../src/instances/instance.js"
import { dataOf, executionOf, failure, type LogLine, until } from "./support.js"

/** A plugin of one language that gives its events one by one. */
export interface StreamingPluginUnderTest {
  /** Starts an instance that the test file ends. */
  start(): Promise<Instance>
  /** Everything logged so far. */
  readonly lines: readonly LogLine[]
}

/** A runtime of the language's own starts slowly where others work. */
const TIMEOUT_MS = 30_000

/** A sink that takes no second event before it is released. */
function slowSink(): { sink: { write(): Promise<void> }; release: () => void } {
  let release: () => void = () => undefined
  const taken = new Promise<void>((resolve) => {
    release = resolve
  })
  return { sink: { write: () => taken }, release }
}

/**
 * What every plugin that streams must do. Its fixture gives as many events as its event's data says, numbered from one; whatever ends it, it logs
 * `ended` with how many it was `asked` for; `fails` fails after them with `ENOUGH`.
 */
export function streamContract(name: string, { start, lines }: StreamingPluginUnderTest): void {
  describe(`R-IV-5: ${name}`, () => {
    const ended = (invocationId: string): unknown =>
      lines.find(({ message, fields }) => message === "ended" && fields.invocationId === invocationId)?.fields.asked

    test(
      "gives each event as it comes, and is asked for no more than are wanted",
      async () => {
        const instance = await start()
        const written: WireEvent[] = []
        const { sink: held, release } = slowSink()
        const sink = { write: (event: WireEvent) => (written.push(event) === 1 ? held.write() : undefined) }
        const execution = executionOf("yields", 500, { sink })
        const pending = instance.execute(execution)
        await until(() => written.length === 1, { name: "the first event" })
        // Another call is answered meanwhile: a stream that nobody reads holds up itself alone.
        expect(await instance.execute(executionOf("yields", 3))).toHaveLength(3)
        expect(written).toHaveLength(1)
        expect(ended(execution.invocationId)).toBeUndefined()
        release()
        const rest = await pending
        expect([...written, ...rest].map(dataOf)).toEqual(Array.from({ length: 500 }, (_, n) => n + 1))
        expect(rest).toHaveLength(0)
      },
      TIMEOUT_MS,
    )

    test(
      "whoever has enough ends it, within the window; so does its deadline",
      async () => {
        const instance = await start()
        const { sink, release } = slowSink()
        const enough = executionOf("yields", 1_000_000, { sink })
        const late = executionOf("yields", 1_000_000, { sink, deadline: Date.now() + 200 })
        const failures = [enough, late].map((execution) => failure(instance.execute(execution)))
        await instance.execute(executionOf("yields", 1))
        enough.cancel?.(FnError.of("CANCELLED", "enough"))
        await until(() => [enough, late].every(({ invocationId }) => ended(invocationId) !== undefined), { name: "both to end" })
        release()
        expect((await Promise.all(failures)).map(({ reason }) => reason)).toEqual(["CANCELLED", "FUNCTION_TIMEOUT"])
        expect(ended(enough.invocationId)).toBeLessThanOrEqual(INSTANCE_STREAM_WINDOW)
      },
      TIMEOUT_MS,
    )

    test(
      "fails after what it gave; without a stream all comes at the end",
      async () => {
        const instance = await start()
        const written: unknown[] = []
        const sink = { write: (event: WireEvent) => void written.push(dataOf(event)) }
        expect(await failure(instance.execute(executionOf("fails", 3, { sink })))).toMatchObject({ reason: "ENOUGH" })
        expect(written).toEqual([1, 2, 3])
        expect((await instance.execute(executionOf("yields", 200))).map(dataOf)).toHaveLength(200)
      },
      TIMEOUT_MS,
    )
  })
}
