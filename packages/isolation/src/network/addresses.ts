import { BlockList, isIP } from "node:net"

/** Addresses that no child reaches through the egress proxy: this machine, private networks, and what no public server has. RFC 6890 and successors. */
const NOT_PUBLIC: readonly (readonly [network: string, prefix: number])[] = [
  ["0.0.0.0", 8],
  ["10.0.0.0", 8],
  ["100.64.0.0", 10],
  ["127.0.0.0", 8],
  ["169.254.0.0", 16],
  ["172.16.0.0", 12],
  ["192.0.0.0", 24],
  ["192.0.2.0", 24],
  ["192.88.99.0", 24],
  ["192.168.0.0", 16],
  ["198.18.0.0", 15],
  ["198.51.100.0", 24],
  ["203.0.113.0", 24],
  ["224.0.0.0", 4],
  ["240.0.0.0", 4],
]

/** Of IPv6 only what is handed out for public use, without the parts of it that lead to IPv4 or nowhere. */
const PUBLIC_V6 = blockList([["2000::", 3]])
const NOT_PUBLIC_V6 = blockList([
  ["2001::", 23],
  ["2001:db8::", 32],
  ["2002::", 16],
  ["3fff::", 20],
])
const NOT_PUBLIC_V4 = blockList(NOT_PUBLIC)

/** Whether an address may be dialled for a child: a public one, or one of the networks the operator opened. */
export function mayDial(address: string, opened: BlockList): boolean {
  switch (isIP(address)) {
    case 4:
      return opened.check(address, "ipv4") || !NOT_PUBLIC_V4.check(address, "ipv4")
    case 6:
      return opened.check(address, "ipv6") || (PUBLIC_V6.check(address, "ipv6") && !NOT_PUBLIC_V6.check(address, "ipv6"))
    default:
      return false
  }
}

/** Networks written as `10.1.0.0/16`, or single addresses. @throws {RangeError} for what is neither */
export function parseNetworks(networks: readonly string[]): BlockList {
  return blockList(
    networks.map((network) => {
      const [address = "", prefix] = network.split("/")
      const longest = isIP(address) === 6 ? 128 : 32
      const length = prefix === undefined ? longest : /^\d+$/.test(prefix) ? Number(prefix) : Number.NaN
      if (isIP(address) === 0 || !(length <= longest)) throw new RangeError(`${JSON.stringify(network)} is no network: write 10.1.0.0/16`)
      return [address, length] as const
    }),
  )
}

function blockList(networks: readonly (readonly [network: string, prefix: number])[]): BlockList {
  const list = new BlockList()
  for (const [network, prefix] of networks) list.addSubnet(network, prefix, isIP(network) === 6 ? "ipv6" : "ipv4")
  return list
}
