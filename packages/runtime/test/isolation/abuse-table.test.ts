import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "@jest/globals"

const root = fileURLToPath(new URL("../../../../", import.meta.url))
const rows = readFileSync(`${root}docs/isolation.md`, "utf8")
  .split("\n")
  .map((line) => line.split("|").map((cell) => cell.trim()))
  .filter(([, row, , , file]) => /^\d+(, \d+)*$/.test(row ?? "") && file?.endsWith(".test.ts"))
  .map(([, row, , , file, title]) => ({ row: row as string, file: file as string, title: title as string }))

test("R-SEC-3: every test that the table of abuse names exists", () => {
  expect(rows.length).toBeGreaterThan(35)
  for (const { row, file, title } of rows)
    expect({ row, found: title !== "" && readFileSync(root + file, "utf8").includes(`"${title}`) }).toEqual({ row, found: true })
})

test("R-SEC-3: the table of abuse has a row for every attempt, or a word why not", () => {
  const all = Array.from({ length: 45 }, (_, n) => n + 1).filter((row) => row !== 8 && row !== 9)
  const listed = new Set(rows.flatMap(({ row }) => row.split(", ").map(Number)))
  expect(all.filter((row) => !listed.has(row))).toEqual([35])
})
