import { describe, expect, test } from "@jest/globals"
import { pluginEnvironment } from "./environment.js"
import { chooseProtocolVersion } from "./handshake.js"
import { parseReattachConfig } from "./reattach.js"

describe("chooseProtocolVersion", () => {
  test.each([
    ["3,1", 3],
    ["1,3,9", 3],
    ["1", 1],
    ["9", 1],
    ["x,3", 3],
    ["3, 1", 3],
    ["1 ,-3,3.0,", 1],
    ["", 1],
    [undefined, 1],
  ])("P4 of 1 and 3, offered %j, it is %d", (offered, chosen) => {
    expect(chooseProtocolVersion([1, 3], offered)).toBe(chosen)
  })

  test("a plugin without versions is a mistake of its author", () => {
    expect(() => chooseProtocolVersion([], "1")).toThrow(RangeError)
  })
})

describe("pluginEnvironment", () => {
  const handshake = { cookieKey: "C", cookieValue: "v", protocolVersions: [2, 1] }

  test("H3 H4 inherited < application < protocol, and nothing else of the protocol", () => {
    const from = { A: "host", B: "host", PLUGIN_CLIENT_CERT: "x", PLUGIN_UNIX_SOCKET_GROUP: "x", PLUGIN_OTHER: "kept", UNSET: undefined }
    const env = pluginEnvironment({ handshake, from, inherit: true, env: { B: "app", C: "app", PLUGIN_MULTIPLEX_GRPC: "true" } })
    expect(env).toEqual({
      A: "host",
      B: "app",
      C: "v",
      PLUGIN_OTHER: "kept",
      PLUGIN_MIN_PORT: "10000",
      PLUGIN_MAX_PORT: "25000",
      PLUGIN_PROTOCOL_VERSIONS: "2,1",
    })
  })

  test("nothing is inherited unless it is named", () => {
    const from = { A: "1", B: "2" }
    expect(pluginEnvironment({ handshake, from })).not.toHaveProperty("A")
    expect(pluginEnvironment({ handshake, from, inherit: ["B", "ABSENT"] })).toMatchObject({ B: "2" })
    expect(pluginEnvironment({ handshake, from, inherit: ["B"] })).not.toHaveProperty("A")
  })
})

describe("parseReattachConfig", () => {
  const config = { Protocol: "grpc", ProtocolVersion: 6, Pid: 123, Test: true, Addr: { Network: "unix", String: "/tmp/x" } }

  test("takes the shape of TF_REATTACH_PROVIDERS", () => {
    expect(parseReattachConfig(config)).toEqual(config)
    expect(parseReattachConfig({ ...config, Test: undefined, ProtocolVersion: undefined })).toMatchObject({
      Test: false,
      ProtocolVersion: 0,
    })
  })

  test.each([
    [{ ...config, Protocol: "netrpc" }, "PLUGIN_PROTOCOL"],
    [{ ...config, Pid: 0 }, "INVALID_REQUEST"],
    [{ ...config, Pid: "1" }, "INVALID_REQUEST"],
    [{ ...config, Addr: { Network: "pipe", String: "x" } }, "INVALID_REQUEST"],
    [{ ...config, Addr: undefined }, "INVALID_REQUEST"],
    [null, "PLUGIN_PROTOCOL"],
  ])("refuses %j", (value, reason) => {
    expect(() => parseReattachConfig(value)).toThrow(expect.objectContaining({ reason }))
  })
})
