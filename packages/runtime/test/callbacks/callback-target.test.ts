import { describe, expect, test } from "@jest/globals"
import { parseCallback } from "../../src/callbacks/callback-target.js"

describe("R-IV-8: what an Fn-Callback may say", () => {
  test("an address, an event, a function of the same namespace or another", () => {
    expect(parseCallback("https://hooks.example.com/a?b=c#d", "shop")).toEqual({
      kind: "http",
      url: new URL("https://hooks.example.com/a?b=c"),
    })
    expect(parseCallback("HTTP://hooks.example.com", "shop")).toMatchObject({ kind: "http" })
    expect(parseCallback("event:com.example.done", "shop")).toEqual({ kind: "event", type: "com.example.done" })
    expect(parseCallback("function:next", "shop")).toEqual({ kind: "function", ref: { namespace: "shop", name: "next" } })
    expect(parseCallback("function:other/next", "shop")).toEqual({ kind: "function", ref: { namespace: "other", name: "next" } })
  })

  test.each([
    "",
    "hooks.example.com",
    "ftp://hooks.example.com",
    "https://",
    "https://user:secret@hooks.example.com/",
    "event:",
    `event:${"x".repeat(2_000)}`,
    "function:",
    "function:No",
    "function:a/b/c",
    "function:$JS/x",
    "javascript:alert(1)",
    `https://hooks.example.com/${"x".repeat(2_048)}`,
  ])("anything else is refused: %s", (text) => {
    expect(() => parseCallback(text, "shop")).toThrow(expect.objectContaining({ code: "permission_denied", reason: "CALLBACK_REFUSED" }))
  })

  test("a password in a refused address is in no message", () => {
    try {
      parseCallback("https://user:secret@hooks.example.com/", "shop")
      throw new Error("it should have been refused")
    } catch (thrown) {
      expect(String(thrown)).not.toContain("secret")
    }
  })
})
