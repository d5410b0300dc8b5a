/** Which addresses a callback may reach: those that belong to nobody's inside. */
import { BlockList, isIPv4, isIPv6 } from "node:net"

/** Not global by IANA's registry for special purposes (RFC 6890), and multicast. */
const SPECIAL_IPV4: readonly (readonly [string, number])[] = [
  ["0.0.0.0", 8], // this network; the unspecified address
  ["10.0.0.0", 8], // private
  ["100.64.0.0", 10], // carriers' shared space
  ["127.0.0.0", 8], // loopback
  ["169.254.0.0", 16], // link-local: metadata of clouds too
  ["172.16.0.0", 12], // private
  ["192.0.0.0", 24], // protocol assignments
  ["192.0.2.0", 24], // documentation
  ["192.88.99.0", 24], // 6to4 relays
  ["192.168.0.0", 16], // private
  ["198.18.0.0", 15], // benchmarks
  ["198.51.100.0", 24], // documentation
  ["203.0.113.0", 24], // documentation
  ["224.0.0.0", 4], // multicast
  ["240.0.0.0", 4], // reserved; broadcast
]
/** All of IPv6 that is routed in the world: loopback, link-local, unique-local, multicast, mapped and translated IPv4 are outside. */
const GLOBAL_IPV6: readonly [string, number] = ["2000::", 3]
const SPECIAL_IPV6: readonly (readonly [string, number])[] = [
  ["2001::", 23], // protocol assignments: Teredo, which wraps IPv4, among them
  ["2001:db8::", 32], // documentation
  ["2002::", 16], // 6to4, which wraps IPv4
  ["3fff::", 20], // documentation
]

const specialIpv4 = new BlockList()
for (const [network, bits] of SPECIAL_IPV4) specialIpv4.addSubnet(network, bits, "ipv4")
const globalIpv6 = new BlockList()
globalIpv6.addSubnet(...GLOBAL_IPV6, "ipv6")
const specialIpv6 = new BlockList()
for (const [network, bits] of SPECIAL_IPV6) specialIpv6.addSubnet(network, bits, "ipv6")

/** Whether an IP address may be reached from outside the networks of whoever runs us. False for what is no address. */
export function isPublicAddress(address: string): boolean {
  if (isIPv4(address)) return !specialIpv4.check(address, "ipv4")
  // An address with a zone is local by definition.
  if (!isIPv6(address) || address.includes("%")) return false
  return globalIpv6.check(address, "ipv6") && !specialIpv6.check(address, "ipv6")
}
