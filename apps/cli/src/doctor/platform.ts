/** The NATS a person named: whether it answers, and whether the platform is set up in it. Changes nothing. */
import { FnError } from "@fn/core"
import { connectNats, findNatsServer, type NatsOptions } from "@fn/nats"
import { setupPlatform } from "@fn/registry"
import { registryOptions } from "../connection.js"
import { askHosts } from "../hosts.js"
import type { Io } from "../io.js"
import { todoOf } from "../report.js"
import type { DoctorReport, NatsFinding } from "./report.js"

/** The server `fn dev` would start; undefined where it would have to fetch one. */
export async function examineServer(io: Pick<Io, "env">): Promise<DoctorReport["natsServer"]> {
  try {
    const { path, version } = await findNatsServer({ env: io.env, fetch: [] })
    return { path, version }
  } catch {
    return undefined // each way of finding one said why it has none: fn dev says that
  }
}

/** What is behind the connection's options. Never rejects. */
export async function examineNats(options: NatsOptions): Promise<NatsFinding> {
  const url = options.context === undefined ? [options.servers ?? "nats://127.0.0.1:4222"].flat().join(",") : `context ${options.context}`
  let known: Partial<NatsFinding> = {}
  try {
    const nc = await connectNats({ name: "fn doctor", ...options })
    try {
      known = { version: nc.info?.version ?? "unknown", jetstream: nc.info?.jetstream === true }
      const hosts = (await askHosts(nc, options, { function: "" })).map(({ host }) => host)
      known = { ...known, hosts }
      const { stores } = await setupPlatform(nc, { ...registryOptions(options), print: true })
      known = { ...known, setUp: stores.every(({ action }) => action === "unchanged") }
      const missing = stores.filter(({ action }) => action !== "unchanged").map(({ name }) => name)
      if (missing.length > 0) throw FnError.of("NOT_SET_UP", `missing or out of date: ${missing.join(", ")}`)
      return { url, ...known }
    } finally {
      await nc.close()
    }
  } catch (thrown) {
    const error = FnError.from(thrown)
    return { url, ...known, problem: { ...error.toData(), remedy: todoOf(error.reason) ?? "see docs/operations.md" } }
  }
}
