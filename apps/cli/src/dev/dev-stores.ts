import { FnError } from "@fn/core"
import type { NatsConnection } from "@fn/nats"
import { setupPlatform } from "@fn/registry"

/** Bound of every new store where the usual ones do not fit. */
const SMALL_STORE_BYTES = 134_217_728

/**
 * Sets up what the platform keeps in NATS. A disk without room for the usual sizes is no reason not to begin: then every new store is small, and
 * `warn` hears of it.
 * @throws {FnError} as setupPlatform
 */
export async function setUpStores(
  nc: NatsConnection,
  scope: { readonly prefix?: string; readonly jsDomain?: string },
  warn: (text: string) => void,
): Promise<void> {
  try {
    await setupPlatform(nc, scope)
  } catch (thrown) {
    if (!FnError.is(thrown) || thrown.reason !== "STORAGE_FULL") throw thrown
    await setupPlatform(nc, { ...scope, initialMaxBytes: SMALL_STORE_BYTES })
    warn("there is little room on the server's disk: queue, results, dead letters and the like are bounded to 128 MiB each")
  }
}
