import { spawn } from "node:child_process"
import { once } from "node:events"

/**
 * How long a bare `node -e 0` takes from its start to its end, ms. Without environment, as functions start: with NODE_EXTRA_CA_CERTS, for one, it takes
 * twice as long.
 */
export async function nodeStartMs() {
  const startedAt = performance.now()
  const [code] = await once(spawn(process.execPath, ["-e", "0"], { stdio: "ignore", env: {} }), "exit")
  if (code !== 0) throw new Error(`node -e 0 ended with ${code}`)
  return performance.now() - startedAt
}
