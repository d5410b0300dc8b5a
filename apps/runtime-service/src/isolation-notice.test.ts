import { createLogger } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import type { IsolationConfig } from "./isolation-config.js"
import { announceIsolation } from "./isolation-notice.js"

const config = (isolation: "strict" | "dev"): IsolationConfig => ({
  isolation,
  isolationAllowProcess: false,
  isolationAllowFullNetwork: true,
  isolationAllowFiles: ["/srv"],
  isolationOpenNetworks: [],
  isolationAcceptSoft: [],
})

function announced(isolation: "strict" | "dev", server: string): unknown[][] {
  const lines: unknown[][] = []
  announceIsolation(
    config(isolation),
    server,
    createLogger((level, message, fields) => lines.push([level, message, fields])),
  )
  return lines
}

describe("R-PL-6: what a host says of isolation at its start", () => {
  test.each(["10.0.0.7:4222", "nats.example:4222", "127.example.com:4222", "[2001:db8::1]:4222"])(
    "policy dev is refused for a NATS at %s",
    (server) => {
      expect(() => announced("dev", server)).toThrow(
        expect.objectContaining({ reason: "INVALID_CONFIG", message: expect.stringContaining(`not for ${server}`) }),
      )
      expect(announced("strict", server)).toHaveLength(1)
    },
  )

  test.each(["127.0.0.1:4222", "localhost:4222", "[::1]:4222"])("policy dev is a warning for a NATS at %s", (server) => {
    expect(announced("dev", server)).toEqual([["warn", expect.stringMatching(/^isolation: dev, /), { policy: "dev", nats: server }]])
  })

  test("strict is one line with what it allows", () => {
    expect(announced("strict", "127.0.0.1:4222")).toEqual([
      [
        "info",
        expect.stringMatching(/^isolation: strict, /),
        expect.objectContaining({ process: "refused", fullNetwork: "allowed", files: ["/srv"] }),
      ],
    ])
  })
})
