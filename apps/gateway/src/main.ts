#!/usr/bin/env node
import { createAppLogger, loadConfig, runUntilStopped } from "@fn/app"
import { FnError } from "@fn/core"
import { GATEWAY, type GatewaySettings } from "./config.js"
import { startGatewayProcess } from "./gateway-process.js"

/** Exit codes: 0 drained, 2 bad configuration, 4 the platform is not there, 1 all else. */
async function main(): Promise<number> {
  const config = loadConfig<GatewaySettings>(GATEWAY, process.argv.slice(2), process.env, (text) => process.stdout.write(text))
  if (!config) return 0
  const logger = createAppLogger(config.settings)
  return runUntilStopped(await startGatewayProcess(config.settings, config.nats, logger), logger)
}

main().then(
  (code) => process.exit(code),
  (thrown) => {
    const error = FnError.from(thrown)
    process.stderr.write(`fn-gateway: ${error.message} (${error.reason})\n`)
    process.exit(error.code === "invalid_argument" ? 2 : error.code === "unavailable" ? 4 : 1)
  },
)
