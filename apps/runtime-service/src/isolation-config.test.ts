import { readFile, writeFile } from "node:fs/promises"
import { loadConfig } from "@fn/app"
import { tempDir } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { RUNTIME_SERVICE, type RuntimeServiceSettings } from "./config.js"
import { isolationSettings } from "./isolation-config.js"

function settingsOf(argv: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const config = loadConfig<RuntimeServiceSettings>(RUNTIME_SERVICE, argv, env, () => undefined)
  if (!config) throw new Error("help was asked for")
  return isolationSettings(config.settings)
}

describe("R-PL-6: the isolation options of a host", () => {
  test("are strict and without any exception when nothing is said", () => {
    expect(settingsOf([])).toEqual({
      policy: "strict",
      allowProcess: false,
      allowFullNetwork: false,
      allowFiles: [],
      acceptSoft: [],
      openedNetworks: [],
    })
  })

  test("are flags and variables, lists with commas", () => {
    const argv = [
      "--isolation-allow-files",
      "/srv/models, /srv/data",
      "--isolation-accept-soft",
      "memory,cpu",
      "--isolation-users",
      "70000:500",
    ]
    const env = {
      FN_ISOLATION_ALLOW_PROCESS: "true",
      FN_ISOLATION_ALLOW_FULL_NETWORK: "yes",
      FN_ISOLATION_OPEN_NETWORKS: "10.1.0.0/16,fd00::1",
      FN_ISOLATION_BUBBLEWRAP: "/opt/bwrap",
    }
    expect(settingsOf(argv, env)).toEqual({
      policy: "strict",
      allowProcess: true,
      allowFullNetwork: true,
      allowFiles: ["/srv/models", "/srv/data"],
      acceptSoft: ["memory", "cpu"],
      openedNetworks: ["10.1.0.0/16", "fd00::1"],
      users: { first: 70_000, count: 500 },
      bubblewrap: "/opt/bwrap",
    })
    expect(settingsOf(["--isolation", "dev"]).policy).toBe("dev")
  })

  test("are in a file as docs/isolation.md has them", async () => {
    const page = await readFile(new URL("../../../docs/isolation.md", import.meta.url), "utf8")
    await using dir = await tempDir()
    await writeFile(dir.file("fn.yaml"), /^```yaml\n(# runtime-service\.yaml\n[\s\S]*?)^```/m.exec(page)?.[1] ?? "there: is none")
    expect(settingsOf(["--config", dir.file("fn.yaml")])).toEqual({
      policy: "strict",
      allowProcess: false,
      allowFullNetwork: false,
      allowFiles: ["/srv/models"],
      acceptSoft: ["memory"],
      openedNetworks: ["10.1.0.0/16"],
    })
  })

  test.each([
    ["--isolation", "lax", /isolation \(--isolation, FN_ISOLATION\)/],
    ["--isolation-accept-soft", "memory,speed", /there is no guarantee speed; there are memory, pids/],
    ["--isolation-allow-files", "models", /absolute/],
    ["--isolation-open-networks", "10.0.0.0/99", /network/],
    ["--isolation-open-networks", "intranet", /network/],
    ["--isolation-users", "0:5", /user numbers/],
    ["--isolation-users", "many", /first:count/],
  ])("refuse %s %s by name", (flag, value, named) => {
    expect(() => settingsOf([flag, value])).toThrow(
      expect.objectContaining({ reason: "INVALID_CONFIG", message: expect.stringMatching(named) }),
    )
  })
})
