import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, describe, expect, test } from "@jest/globals"
import { z } from "zod"
import { type AppSpec, loadConfig } from "./config.js"

const SPEC: AppSpec = {
  name: "app",
  description: "A test.",
  version: "1.2.3",
  options: [
    { key: "httpPort", value: "port", description: "port", schema: z.coerce.number().int().max(65_535).default(80) },
    { key: "logLevel", value: "level", description: "level", schema: z.enum(["info", "debug"]).default("info") },
  ],
}
const load = (argv: string[] = [], env: Record<string, string> = {}) =>
  loadConfig<{ httpPort: number; logLevel: string }>(SPEC, argv, env, () => undefined)

const folder = mkdtempSync(join(tmpdir(), "fn-app-test-"))
afterAll(() => rmSync(folder, { recursive: true }))

function configFile(text: string): string {
  const path = join(folder, "config.yaml")
  writeFileSync(path, text)
  return path
}

describe("R-DP-5: configuration", () => {
  test("flag wins over environment, environment over file, file over default", () => {
    const path = configFile("httpPort: 1\nlogLevel: debug\nnats: { servers: nats://file:1 }\n")
    expect(load()?.settings).toEqual({ httpPort: 80, logLevel: "info" })
    expect(load(["--config", path])?.settings).toEqual({ httpPort: 1, logLevel: "debug" })
    expect(load([], { FN_CONFIG: path, FN_HTTP_PORT: "2" })?.settings.httpPort).toBe(2)
    expect(load(["--http-port", "3"], { FN_HTTP_PORT: "2" })?.settings.httpPort).toBe(3)
    expect(load(["--config", path])?.nats.servers).toBe("nats://file:1")
    expect(load(["--config", path, "--nats-url", "nats://flag:1"])?.nats.servers).toBe("nats://flag:1")
  })

  test("an empty variable is unset", () => {
    expect(load([], { FN_HTTP_PORT: "", FN_NATS_URL: "" })?.settings.httpPort).toBe(80)
  })

  test("all problems come in one error, each with its flag and variable", () => {
    const path = configFile("httpPort: 99999\nlogLevle: debug\n")
    expect(() => load(["--config", path, "--log-level", "loud"])).toThrow(
      expect.objectContaining({
        reason: "INVALID_CONFIG",
        message: expect.stringMatching(
          /unknown key logLevle.*httpPort \(--http-port, FN_HTTP_PORT\).*logLevel \(--log-level, FN_LOG_LEVEL\)/s,
        ),
      }),
    )
  })

  test("an unknown flag and a missing file are errors", () => {
    expect(() => load(["--nope"])).toThrow(expect.objectContaining({ reason: "INVALID_CONFIG" }))
    expect(() => load(["--config", "/nonexistent.yaml"])).toThrow(/nonexistent/)
  })

  test("help is printed and loads nothing", () => {
    let printed = ""
    expect(loadConfig(SPEC, ["--help"], {}, (text) => (printed += text))).toBeUndefined()
    expect(printed).toContain("--http-port <port>")
    expect(printed).toContain("FN_HTTP_PORT")
  })

  test("what was loaded is frozen", () => {
    expect(Object.isFrozen(load()?.settings)).toBe(true)
  })
})
