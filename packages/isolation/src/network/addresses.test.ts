import { describe, expect, test } from "@jest/globals"
import { mayDial, parseNetworks } from "./addresses.js"
import { normalizeTarget } from "./network.js"

const none = parseNetworks([])

describe("SEC-3: addresses that children may be led to", () => {
  test.each(["1.1.1.1", "93.184.216.34", "172.15.0.1", "172.32.0.1", "11.0.0.1", "2606:4700::1111", "2a00:1450::1"])("%s", (address) => {
    expect(mayDial(address, none)).toBe(true)
  })

  test.each([
    ...["127.0.0.1", "127.1.2.3", "0.0.0.0", "10.0.0.1", "10.0.2.2", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"],
    ...["100.64.0.1", "192.0.0.1", "198.18.0.1", "224.0.0.1", "255.255.255.255", "240.0.0.1"],
    ...[
      "::1",
      "::",
      "::ffff:127.0.0.1",
      "::ffff:1.1.1.1",
      "fe80::1",
      "fc00::1",
      "fd12::1",
      "ff02::1",
      "64:ff9b::7f00:1",
      "2002:7f00:1::",
      "2001::1",
      "2001:db8::1",
    ],
    ...["", "localhost", "1.1.1", "0x7f000001"],
  ])("not %s", (address) => {
    expect(mayDial(address, none)).toBe(false)
  })

  test("networks that the operator opened", () => {
    const opened = parseNetworks(["10.1.0.0/16", "fd00::/8", "127.0.0.1"])
    expect(["10.1.2.3", "fd12::1", "127.0.0.1"].map((address) => mayDial(address, opened))).toEqual([true, true, true])
    expect(["10.2.0.1", "fe80::1", "127.0.0.2"].map((address) => mayDial(address, opened))).toEqual([false, false, false])
  })

  test.each(["10.1.0.0/33", "10.1.0.0/x", "example.com", "", "::/129", "10.1.0.0/-1"])("%s is no network", (network) => {
    expect(() => parseNetworks([network])).toThrow(RangeError)
  })
})

describe("normalizeTarget", () => {
  test.each([
    ["Example.COM:443", "example.com:443"],
    ["example.com.:443", "example.com:443"],
    ["example.com:0443", "example.com:443"],
    ["[2606:4700::1111]:53", "[2606:4700::1111]:53"],
  ])("%s is %s", (text, expected) => {
    expect(normalizeTarget(text)).toBe(expected)
  })

  test.each([
    "example.com",
    "example.com:0",
    "example.com:70000",
    "http://example.com:80",
    "a b:80",
    "*:80",
    "example.com:443/path",
    "::1:80",
    "",
  ])("%s is none", (text) => {
    expect(normalizeTarget(text)).toBeUndefined()
  })
})
