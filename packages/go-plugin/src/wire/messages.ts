/** Between the generated messages of go-plugin's own services and our types. */
import type { goPluginBroker } from "@fn/proto"
import type { BrokerMessage } from "../broker/broker.js"

/** Undefined for what is neither announcement nor knock: networks that do not exist, a knock that is none. */
export function brokerMessageFromConnInfo(info: goPluginBroker.ConnInfo): BrokerMessage | undefined {
  const { serviceId: id, network, address, knock } = info
  if (knock) return knock.knock ? { id, ack: knock.ack, error: knock.error } : undefined
  return network === "unix" || network === "tcp" ? { id, network, address } : undefined
}

export function connInfoFromBrokerMessage(message: BrokerMessage): goPluginBroker.ConnInfo {
  if (!("ack" in message)) return { serviceId: message.id, network: message.network, address: message.address, knock: undefined }
  return { serviceId: message.id, network: "", address: "", knock: { knock: true, ack: message.ack, error: message.error } }
}
