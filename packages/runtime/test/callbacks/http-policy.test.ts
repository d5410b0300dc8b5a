import type { LookupAddress } from "node:dns"
import { describe, expect, test } from "@jest/globals"
import { HttpPolicy } from "../../src/callbacks/http-policy.js"

function verdict(policy: HttpPolicy, address: string): string {
  try {
    policy.check(new URL(address))
    return "allowed"
  } catch (thrown) {
    return (thrown as { reason: string }).reason
  }
}

describe("SEC-1: where callbacks may be posted to", () => {
  const policy = new HttpPolicy({
    allow: ["hooks.example.com", "api.example.com:8443", "*.shop.example", "93.184.215.14", "[2606:4700::1]", "any.example.com:*"],
  })

  test.each([
    "https://hooks.example.com/a?b=c",
    "http://hooks.example.com/",
    "https://hooks.example.com:443/",
    "https://HOOKS.Example.Com/",
    "https://api.example.com:8443/x",
    "https://eu.shop.example/",
    "https://a.b.shop.example/",
    "https://any.example.com:9999/",
    "http://any.example.com/",
    "http://93.184.215.14/",
    "https://[2606:4700::1]/",
  ])("%s is allowed", (address) => {
    expect(verdict(policy, address)).toBe("allowed")
  })

  test.each([
    ["https://example.com/", "a parent of an allowed host"],
    ["https://evil-hooks.example.com/", "a host with an allowed one in its name"],
    ["https://hooks.example.com.evil.test/", "a host that begins like an allowed one"],
    ["https://hooks.example.com:8443/", "another port"],
    ["https://api.example.com/", "the scheme's port where another is allowed"],
    ["https://shop.example/", "the host of a wildcard itself"],
    ["https://eu.shop.example:8443/", "another port of a wildcard's host"],
    ["https://evilshop.example/", "a host that ends like a wildcard, without the dot"],
    ["http://93.184.215.15/", "another address"],
  ])("%s is refused: %s", (address) => {
    expect(verdict(policy, address)).toBe("CALLBACK_REFUSED")
  })

  test("nothing is allowed unless the operator says so", () => {
    expect(verdict(new HttpPolicy(), "https://hooks.example.com/")).toBe("CALLBACK_REFUSED")
  })

  test.each([
    "http://127.0.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0177.0.0.1/",
    "http://10.1.2.3/",
    "http://169.254.169.254/latest/meta-data",
    "http://[::1]/",
    "http://[::ffff:127.0.0.1]/",
    "http://[fd00::1]/",
  ])("an address from inside is refused in whatever spelling, even if all hosts are allowed: %s", (address) => {
    expect(verdict(new HttpPolicy({ allow: ["*"] }), address)).toBe("CALLBACK_REFUSED")
    expect(verdict(new HttpPolicy({ allow: ["*"], allowPrivate: true }), address)).toBe("allowed")
  })

  test.each(["", "https://hooks.example.com", "hooks.example.com/path", "a.*.example.com", "host:0", "host:65536", "host:x", "a b", "::1"])(
    "%p is no entry of the list",
    (entry) => {
      expect(() => new HttpPolicy({ allow: [entry] })).toThrow(expect.objectContaining({ reason: "INVALID_CONFIG" }))
    },
  )

  describe("after resolving", () => {
    const ADDRESSES: Record<string, LookupAddress[]> = {
      "public.test": [{ address: "93.184.215.14", family: 4 }],
      "inside.test": [
        { address: "10.0.0.7", family: 4 },
        { address: "::1", family: 6 },
      ],
      "mapped.test": [{ address: "::ffff:169.254.169.254", family: 6 }],
      "both.test": [
        { address: "127.0.0.1", family: 4 },
        { address: "2606:4700::1", family: 6 },
      ],
      "none.test": [],
    }
    const resolving = new HttpPolicy({ allow: ["*"], resolve: async (name) => ADDRESSES[name] ?? [] })

    test("only addresses from outside are left", async () => {
      expect(await resolving.addressesOf("public.test")).toEqual(ADDRESSES["public.test"])
      expect(await resolving.addressesOf("both.test")).toEqual([{ address: "2606:4700::1", family: 6 }])
    })

    test.each(["inside.test", "mapped.test", "none.test"])("a host without any is refused: %s", async (name) => {
      await expect(resolving.addressesOf(name)).rejects.toMatchObject({ code: "permission_denied", reason: "CALLBACK_REFUSED" })
    })

    test("what is connected to is what was checked, in both forms that node asks for", async () => {
      const ask = (name: string, all: boolean): Promise<unknown[]> =>
        new Promise((resolve) => resolving.lookup(name, { all }, (...answer) => resolve(answer)))
      expect(await ask("both.test", true)).toEqual([null, [{ address: "2606:4700::1", family: 6 }]])
      expect(await ask("both.test", false)).toEqual([null, "2606:4700::1", 6])
      expect(await ask("inside.test", true)).toEqual([expect.objectContaining({ reason: "CALLBACK_REFUSED" }), ""])
    })

    test("the system's resolver is asked by default, and localhost is inside", async () => {
      await expect(new HttpPolicy({ allow: ["*"] }).addressesOf("localhost")).rejects.toMatchObject({ reason: "CALLBACK_REFUSED" })
      expect((await new HttpPolicy({ allow: ["*"], allowPrivate: true }).addressesOf("localhost")).length).toBeGreaterThan(0)
    })
  })
})
