import { describe, expect, test } from "@jest/globals"
import { findSkips } from "./skips.mjs"

describe("findSkips", () => {
  test("a skip is allowed only where the machine lacks what it needs", () => {
    const output = [
      "  console.warn",
      "    SKIPPED: needs a-program-nobody-has: real plugins",
      "    SKIPPED: needs node: this one could have run",
      "    SKIPPED: just so",
    ].join("\n")
    expect(findSkips(output)).toEqual([
      { needs: "a-program-nobody-has", what: "real plugins", allowed: true },
      { needs: "node", what: "this one could have run", allowed: false },
      { needs: undefined, what: "just so", allowed: false },
    ])
  })

  test("the same line printed twice is one skip", () => {
    expect(findSkips("SKIPPED: needs x: y\nSKIPPED: needs x: y\n")).toHaveLength(1)
  })

  test("the platform is known, and no test may need the internet", () => {
    const other = process.platform === "linux" ? "darwin" : "linux"
    const [here, there, net] = findSkips(`SKIPPED: needs ${process.platform}: a\nSKIPPED: needs ${other}: b\nSKIPPED: needs internet: c`)
    expect([here.allowed, there.allowed, net.allowed]).toEqual([false, true, true])
  })

  test("other ways to say it count as skips without a thing; the source line that jest prints does not count", () => {
    const output = '    skipped: no luck\n\n    > 12 |  console.warn("SKIPPED: needs x: y")\nTests: 3 skipped\n'
    expect(findSkips(output)).toEqual([{ needs: undefined, what: "no luck", allowed: false }])
  })

  test("nothing printed is nothing skipped", () => {
    expect(findSkips("all well\n")).toEqual([])
  })
})
