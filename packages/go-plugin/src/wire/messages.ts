/** Between the generated messages of go-plugin's own services and our types. */
import type { goPluginBroker } from "@fn/proto"
import type { Announcement } from "../broker/broker.js"

/** Undefined for what is no announcement: the knocks of multiplexing, which we never agree to, and networks that do not exist. */
export function announcementFromConnInfo(info: goPluginBroker.ConnInfo): Announcement | undefined {
  const { serviceId: id, network, address, knock } = info
  if (knock || (network !== "unix" && network !== "tcp")) return undefined
  return { id, network, address }
}

export function connInfoFromAnnouncement({ id, network, address }: Announcement): goPluginBroker.ConnInfo {
  return { serviceId: id, network, address, knock: undefined }
}
