import { readFile } from "node:fs/promises"
import { refuseUnsupported } from "@fn/registry"
import { describe, expect, test } from "@jest/globals"
import { temporaryFolder } from "../../test/support/folder.js"
import { parseManifestText, readManifest } from "./manifest-file.js"

const VALID = "name: hello\nlanguage: js\nruntime: module\n"

function problemsOf(text: string): unknown {
  try {
    parseManifestText(text)
  } catch (thrown) {
    return (thrown as { details?: { problems?: unknown } }).details?.problems
  }
  return []
}

describe("fn.yaml", () => {
  test("a valid file is a manifest", () => {
    expect(parseManifestText(`${VALID}timeoutMs: 500\nconfig:\n  to: [a, b]\n`)).toEqual({
      name: "hello",
      language: "js",
      runtime: "module",
      timeoutMs: 500,
      config: { to: ["a", "b"] },
    })
  })

  test("every problem is reported at once, in the order of the file, each with line and column", () => {
    expect(problemsOf("name: My Function\nlanguage: js\nruntime: modul\ntimeoutMs: fast\ninstances:\n  min: 2\n  most: 3\n")).toEqual([
      expect.stringMatching(/^fn\.yaml:1:7: name: /),
      expect.stringMatching(/^fn\.yaml:3:10: runtime: /),
      expect.stringMatching(/^fn\.yaml:4:12: timeoutMs: /),
      "fn.yaml:7:3: instances.most: there is no such setting",
    ])
  })

  test("an unknown key fails", () => {
    expect(problemsOf(`${VALID}concurency: 3\n`)).toEqual(["fn.yaml:4:1: concurency: there is no such setting"])
  })

  test("a missing key is reported at the start of the file", () => {
    expect(problemsOf("name: hello\nlanguage: js\n")).toEqual([expect.stringMatching(/^fn\.yaml:1:1: runtime: /)])
  })

  test("broken YAML is reported with its line", () => {
    expect(problemsOf('name: hello\nmetadata: {a: "b"\n')).toEqual([expect.stringMatching(/^fn\.yaml:\d+:\d+: /)])
    expect(problemsOf("name: a\nname: b\n")).toEqual([expect.stringMatching(/^fn\.yaml:2:1: .*unique/i)])
  })

  test("an empty file and one that is no mapping are invalid, not a crash", () => {
    expect(problemsOf("")).not.toEqual([])
    expect(problemsOf("- a\n- b\n")).not.toEqual([])
  })

  test("a folder without fn.yaml, and one that is not there, are told apart from a broken file", async () => {
    await using folder = await temporaryFolder()
    await expect(readManifest(folder.path)).rejects.toMatchObject({
      reason: "INVALID_DEFINITION",
      message: expect.stringContaining("there is no fn.yaml in it"),
    })
    await expect(readManifest(folder.join("nowhere"))).rejects.toMatchObject({ reason: "INVALID_DEFINITION" })
  })
})

describe("R-PL-6: isolation and limits in fn.yaml that make no sense are told with what to write instead", () => {
  test.each([
    ["isolation: sandbox", "4:12: isolation: it is a mapping, as isolation: { level: sandbox, network: none }"],
    ["isolation: { level: docker }", "4:21: isolation.level: it is sandbox, process or wasm; without it the host decides"],
    ["isolation: { network: [api.example.com] }", "4:24: isolation.network.0: it needs a port, as api.example.com:443"],
    ['isolation: { network: ["https://api.example.com/v1"] }', "4:24: isolation.network.0: a host:port, not a URL: api.example.com:443"],
    [
      'isolation: { network: ["*.example.com:443"] }',
      "4:24: isolation.network.0: *.example.com:443: there are no patterns; name each host:port",
    ],
    ["isolation: { network: yes }", '4:23: isolation.network: it is none, full, or a list as ["api.example.com:443"]'],
    ["isolation: { files: [data] }", "4:22: isolation.files.0: data is no absolute path without . and .."],
    ["isolation: { files: [{ path: /a/../b }] }", "4:30: isolation.files.0.path: /a/../b is no absolute path without . and .."],
    ["memoryMb: 256Mi", "4:11: memoryMb: it is a whole number of MiB, at least 16: 256, not 256Mi"],
    ["cpu: 0", "4:6: cpu: it is a number of processors, at least 0.01: 0.5 is half of one"],
    ["pids: 4", "4:7: pids: it is a whole number of processes and threads, at least 16: with fewer, Node hangs"],
    ["memory: 512", "4:1: memory: there is no such setting; there is memoryMb"],
    ["network: none", "4:1: network: there is no such setting; there is isolation: { network: … }"],
  ])("%s", (line, problem) => {
    expect(problemsOf(`${VALID}${line}\n`)).toEqual([`fn.yaml:${problem}`])
  })
})

test("every fn.yaml in docs/isolation.md is one that deploys", async () => {
  const page = await readFile(new URL("../../../../docs/isolation.md", import.meta.url), "utf8")
  const examples = [...page.matchAll(/^```yaml\n(name: [\s\S]*?)^```/gm)].map(([, text = ""]) => text)
  expect(examples.length).toBeGreaterThan(1)
  for (const text of examples) {
    const manifest = parseManifestText(text)
    expect(manifest.isolation).toMatchObject({ level: "sandbox" })
    refuseUnsupported(manifest)
  }
})
