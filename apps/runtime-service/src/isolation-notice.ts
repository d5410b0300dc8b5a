/** What a host says once, at its start, of what functions may do on it. */
import { FnError, type Logger } from "@fn/core"
import type { IsolationConfig } from "./isolation-config.js"

/**
 * Logs one line. Under policy dev, whoever may deploy to the NATS at `server` runs code as the host's user: only for a NATS of this machine.
 * @throws {FnError} invalid_argument INVALID_CONFIG for policy dev and any other NATS
 */
export function announceIsolation(config: IsolationConfig, server: string, logger: Logger): void {
  const { isolation: policy } = config
  if (policy === "strict") {
    return logger.info("isolation: strict, functions run in sandboxes", {
      policy,
      process: config.isolationAllowProcess ? "allowed" : "refused",
      fullNetwork: config.isolationAllowFullNetwork ? "allowed" : "refused",
      files: config.isolationAllowFiles,
      openNetworks: config.isolationOpenNetworks,
      acceptSoft: config.isolationAcceptSoft,
    })
  }
  if (!isLoopback(server))
    throw FnError.of(
      "INVALID_CONFIG",
      `isolation dev (--isolation, FN_ISOLATION) is for a NATS on this machine, not for ${server}; under strict, --isolation-allow-process lets functions ask for no sandbox`,
    )
  logger.warn("isolation: dev, functions run as this user, in its files and network", { policy, nats: server })
}

/** `server` is `host:port`. */
function isLoopback(server: string): boolean {
  return /^(127\.\d+\.\d+\.\d+|localhost|\[::1\]|::1)(:\d+)?$/.test(server)
}
