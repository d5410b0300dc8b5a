#!/usr/bin/env node
import { createAppLogger, loadConfig, runUntilStopped } from "@fn/app"
import { FnError } from "@fn/core"
import { RUNTIME_SERVICE, type RuntimeServiceSettings } from "./config.js"
import { startRuntimeProcess } from "./runtime-process.js"

/** Exit codes: 0 drained, 2 bad configuration, 4 the platform is not there, 1 all else. */
async function main(): Promise<number> {
  const config = loadConfig<RuntimeServiceSettings>(RUNTIME_SERVICE, process.argv.slice(2), process.env, (text) =>
    process.stdout.write(text),
  )
  if (!config) return 0
  const logger = createAppLogger(config.settings)
  return runUntilStopped(await startRuntimeProcess(config.settings, config.nats, logger), logger)
}

main().then(
  (code) => process.exit(code),
  (thrown) => {
    const error = FnError.from(thrown)
    process.stderr.write(`fn-runtime-service: ${error.message} (${error.reason})\n`)
    process.exit(error.code === "invalid_argument" ? 2 : error.code === "unavailable" ? 4 : 1)
  },
)
