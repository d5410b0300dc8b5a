import { cpus, release, totalmem } from "node:os"
import { findNatsServer } from "@fn/nats"

/** What a run ran on, in a line. */
export async function describeMachine() {
  const { version } = await findNatsServer({ onProgress: (line) => console.error(line) })
  const model = cpus()[0]?.model.trim() ?? "unknown processor"
  const memoryGb = Math.round(totalmem() / 2 ** 30)
  return `${cpus().length} × ${model}, ${memoryGb} GB, ${process.platform} ${release()}, Node ${process.version}, nats-server ${version}`
}
