import { readFileSync } from "node:fs"
import { expect, test } from "@jest/globals"
import { CODES } from "./errors.js"
import { REASONS } from "./reasons.js"

const page = readFileSync(new URL("../../../docs/errors.md", import.meta.url), "utf8")

test("docs/errors.md has every reason with its code and what to do, and no other", () => {
  const sections = new Map(
    page
      .split(/^### /m)
      .slice(1)
      .map((section): [string, string] => {
        const [title = "", ...text] = section.trim().split("\n")
        return [title, text.join("\n").trim()]
      }),
  )
  const expected = Object.entries(REASONS).map(([reason, { code, todo }]): [string, string] => [reason, `Code \`${code}\`. ${todo}`])
  expect([...sections].sort()).toEqual(expected.sort())
})

test("docs/errors.md has every code with its numbers", () => {
  for (const [code, { grpc, http }] of Object.entries(CODES)) expect(page).toContain(`| \`${code}\` | ${grpc} | ${http} |`)
})
