import { writeFile } from "node:fs/promises"
import { tempDir } from "@fn/testing"
import { describe, expect, test } from "@jest/globals"
import { loadBuiltins } from "../src/builtins.js"

async function namesOf(source: string): Promise<string[]> {
  await using dir = await tempDir()
  await writeFile(dir.file("builtins.mjs"), source)
  const builtins = await loadBuiltins(dir.file("builtins.mjs"), "default")
  for (const { manifest } of builtins) expect(manifest).toMatchObject({ namespace: "default", runtime: "builtin", language: "js" })
  return builtins.map(({ manifest }) => manifest.name)
}

describe("R-FN-5: builtins from a module", () => {
  test("are called as they say themselves, else as their export", async () => {
    expect(await namesOf(`export const echo = (e) => e; export const dropNoise = () => undefined; export const version = 3`)).toEqual([
      "drop-noise",
      "echo",
    ])
    expect(
      await namesOf(`export const x = { name: "real-name", execute: () => undefined, toManifest: () => ({ accepts: ["a.b"] }) }`),
    ).toEqual(["real-name"])
    expect(await namesOf(`export default { "one-two": () => undefined, three: () => undefined }`)).toEqual(["one-two", "three"])
    expect(await namesOf(`export default function greet() {}`)).toEqual(["greet"])
  })

  test("a module without any, one that does not load, and a bad name are told apart", async () => {
    await expect(namesOf(`export const version = 3`)).rejects.toMatchObject({
      reason: "LOAD_FAILED",
      message: expect.stringContaining("exports no function"),
    })
    await expect(namesOf(`throw new Error("no luck")`)).rejects.toMatchObject({
      reason: "LOAD_FAILED",
      message: expect.stringContaining("no luck"),
    })
    await expect(namesOf(`export const $ = () => undefined`)).rejects.toMatchObject({ reason: "INVALID_NAME" })
  })
})
