import { existsSync } from "node:fs"
import { afterEach, describe, expect, test } from "@jest/globals"
import { addTell, rejectionOf, tellThrough } from "../../test/support/kv.js"
import { createCertificate } from "../tls/certificate.js"
import { type Announcement, type BrokerOptions, StreamBroker } from "./broker.js"

const open: StreamBroker[] = []
afterEach(() => {
  for (const broker of open.splice(0)) broker.close()
})

/** Two sides whose announcements reach each other, as over the broker stream. */
function pair(left: BrokerOptions = {}, right: BrokerOptions = {}): [StreamBroker, StreamBroker] {
  const sides: [StreamBroker, StreamBroker] = [new StreamBroker(left), new StreamBroker(right)]
  sides[0].attach((announcement) => sides[1].receive(announcement))
  sides[1].attach((announcement) => sides[0].receive(announcement))
  open.push(...sides)
  return sides
}

describe("StreamBroker", () => {
  test("P29 P30 both sides accept and dial, with the same ids, under the TLS of both", async () => {
    const [a, b] = [createCertificate(), createCertificate()]
    const [left, right] = pair({ tls: { ...a, peerCertPem: b.certPem } }, { tls: { ...b, peerCertPem: a.certPem } })
    const services = [await left.accept(addTell), await right.accept(addTell)]
    expect(services.map(({ id }) => id)).toEqual([1, 1])
    expect(await tellThrough(left, 1)).toBe("told:y")
    expect(await tellThrough(right, 1)).toBe("told:y")
    for (const service of services) service.close()
    for (const { address } of services) expect(existsSync(address?.address as string)).toBe(false)
  })

  test("a stranger's certificate is refused on brokered connections, too", async () => {
    const [a, b, stranger] = [createCertificate(), createCertificate(), createCertificate()]
    const [left, right] = pair({ tls: { ...a, peerCertPem: b.certPem } }, { tls: { ...stranger, peerCertPem: a.certPem } })
    const { id } = await left.accept(addTell)
    expect(await rejectionOf(tellThrough(right, id))).toMatchObject({ code: 14 })
  })

  test("a dial waits for an announcement that comes later", async () => {
    const [left, right] = pair()
    const told = tellThrough(right, 1)
    await left.accept(addTell)
    expect(await told).toBe("told:y")
  })

  test("announcements made before the stream opened are sent when it does", async () => {
    const early = new StreamBroker()
    open.push(early)
    await early.accept(addTell)
    const sent: Announcement[] = []
    early.attach((message) => sent.push(message as Announcement))
    expect(sent.map(({ id, network }) => [id, network])).toEqual([[1, "unix"]])
  })

  test("an echo of our own announcement is no offer of the other side", async () => {
    const broker = new StreamBroker()
    open.push(broker)
    broker.attach((announcement) => broker.receive(announcement))
    await broker.accept(addTell)
    expect(await rejectionOf(broker.dial(1, { timeoutMs: 20 }))).toMatchObject({ code: "deadline_exceeded" })
  })

  test("close() fails dials under way and removes the sockets", async () => {
    const [left] = pair()
    const service = await left.accept(addTell)
    const dialling = rejectionOf(left.dial(9))
    left.close()
    expect(await dialling).toMatchObject({ code: "unavailable" })
    expect(existsSync(service.address?.address as string)).toBe(false)
    expect(await rejectionOf(left.accept(addTell))).toMatchObject({ code: "unavailable" })
    expect(await rejectionOf(left.dial(1))).toMatchObject({ code: "unavailable" })
  })
})
