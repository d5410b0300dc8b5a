import { describe, expect, test } from "@jest/globals"
import { queueConfigSchema } from "./queue-config.js"

function problemsOf(value: unknown): string[] {
  const parsed = queueConfigSchema.safeParse(value)
  return parsed.success ? [] : parsed.error.issues.map(({ path, message }) => [...path, message].join(": "))
}

describe("R-IV-7: settings of queues in a host's configuration", () => {
  test("are those of all functions, and of the groups of languages, in ms or as durations", () => {
    const config = {
      settings: { maxAge: "24h", batchSize: 10 },
      groups: [
        { name: "function.go", maxPending: 1_000, maxAge: "1h", maxDeliver: 3, ackWait: "30s" },
        { name: "function.js", ackWaitMs: 5_000 },
      ],
    }
    const parsed = {
      platform: { maxAgeMs: 86_400_000, batchSize: 10 },
      groups: {
        "function.go": { maxPending: 1_000, maxAgeMs: 3_600_000, maxDeliver: 3, ackWaitMs: 30_000 },
        "function.js": { ackWaitMs: 5_000 },
      },
    }
    expect(queueConfigSchema.parse(config)).toEqual(parsed)
    expect(queueConfigSchema.parse(JSON.stringify(config))).toEqual(parsed)
    expect(queueConfigSchema.parse(undefined)).toEqual({})
  })

  test("that are not understood are refused, each by its name", () => {
    expect(problemsOf("{")).toEqual([expect.stringContaining("it must be JSON")])
    expect(problemsOf({ groups: [{ name: "function.klingon" }] })).toEqual([expect.stringContaining("groups: 0: name")])
    expect(problemsOf({ groups: [{ name: "function.js", maxage: 3 }] })).toEqual([expect.stringContaining("function.js: ")])
    expect(problemsOf({ settings: { ackWait: "soon" } })).toEqual([expect.stringContaining("it must be a duration")])
    expect(problemsOf({ setting: {} })).toEqual([expect.stringContaining("setting")])
  })
})
