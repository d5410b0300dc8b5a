import { describe, expect, test } from "@jest/globals"
import { shieldDashedId } from "./dashed-id.js"

const ID = "-bcdefghijklmnopqrstuv"

describe("an id that begins with a dash", () => {
  test("is no option, wherever it stands", () => {
    expect(shieldDashedId(["result", ID])).toEqual(["result", "--", ID])
    expect(shieldDashedId(["cancel", ID, "--json", "--namespace", "shop"])).toEqual(["cancel", "--json", "--namespace", "shop", "--", ID])
    expect(shieldDashedId(["status", "--json", ID])).toEqual(["status", "--json", "--", ID])
  })

  test("is left alone for verbs that take none, and where the caller shielded it already", () => {
    for (const argv of [["invoke", ID], ["cancel", "--", ID], ["result", "abc"], ["result", "--nats-url", "nats://a"], []]) {
      expect(shieldDashedId(argv)).toEqual(argv)
    }
  })
})
