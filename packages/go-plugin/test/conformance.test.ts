import { readdirSync, readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { describe, expect, test } from "@jest/globals"

const root = fileURLToPath(new URL("..", import.meta.url))
const rows = readFileSync(`${root}../../docs/go-plugin-conformance.md`, "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter(([, id, , , file]) => /^[HP]\d+$/.test(id ?? "") && /\.(test\.ts|soak\.mjs)$/.test(file ?? ""))
  .map(([, id, , peer, file, title]) => ({ id: id as string, peer: peer as string, file: file as string, title: title as string }))
const peers = ["Go 1.8.0", "Go 1.0.1", "Python", "ours", "script", "bare gRPC", "none"]

describe("docs/go-plugin-conformance.md", () => {
  test("every title it names exists in the file it names", () => {
    expect(rows.length).toBeGreaterThan(120)
    for (const { id, peer, file, title } of rows) {
      expect(peers).toEqual(expect.arrayContaining(peer.split(", ")))
      expect({ id, found: readFileSync(root + file, "utf8").includes(`"${title}`) }).toEqual({ id, found: true })
    }
  })

  test("every row that a test's title names is in it", () => {
    const listed = new Set(rows.map(({ id }) => id))
    for (const file of readdirSync(`${root}test`).filter((name) => name.endsWith(".test.ts"))) {
      const titles = readFileSync(`${root}test/${file}`, "utf8").match(/"(?:[HP]\d+ )+/g) ?? []
      for (const id of titles.flatMap((title) => title.slice(1).trim().split(" ")))
        expect({ file, id, listed: listed.has(id) }).toEqual({ file, id, listed: true })
    }
  })
})
