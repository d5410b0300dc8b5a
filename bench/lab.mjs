/**
 * What a part of a run has started: platforms, references, peers, clients. Each is started at its first use and shared from then on; `stop` ends
 * them in reverse order, so that nothing of one part disturbs the next.
 */
import { startLoadClient } from "./measure/load-client.mjs"
import { startProgram } from "./measure/program.mjs"
import { startPlatform } from "./product/platform.mjs"
import { TARGETS } from "./targets.mjs"

/** @param {{ isolation: "dev" | "strict" }} settings the policy of the hosts that are measured */
export function createLab({ isolation }) {
  const started = new Map()
  const once = (key, start) => {
    if (!started.has(key)) started.set(key, start())
    return started.get(key)
  }
  const lab = {
    isolation,
    once,
    /** A platform with so many runtime-services and the functions of the bench, shared. */
    platform: (runtimes = 1) =>
      once(`platform ${runtimes}`, async () => {
        const platform = await startPlatform({ isolation })
        while (platform.runtimes.length < runtimes) await platform.addRuntime()
        await platform.deployBuiltins("echo-builtin", "burn")
        return platform
      }),
    /** The same with a folder of bench/functions deployed there. */
    async platformWith(folder, runtimes = 1) {
      const platform = await lab.platform(runtimes)
      await once(`function ${folder} ${runtimes}`, async () => ({ ...(await platform.deployFolder(folder)), stop: () => {} }))
      return platform
    },
    /** One of our programs. */
    program: (path, args) => once(`program ${path} ${JSON.stringify(args)}`, () => startProgram(path, args)),
    /** The client of a target, and the processes behind it: `{ client, pids }`. */
    target: (name, { sizeBytes = 256, runtimes = 1 } = {}) =>
      once(`target ${name} ${sizeBytes} ${runtimes}`, async () => {
        const { path, start } = TARGETS[name]
        const { options, pids } = await start(lab, { runtimes })
        const client = await startLoadClient(path, { ...options, sizeBytes })
        return { client, pids: { client: [client.pid], ...pids }, stop: () => client.stop() }
      }),
    async stop() {
      for (const starting of [...started.values()].reverse()) {
        // What could not be started has nothing to be stopped; its row has failed with the reason.
        const running = await starting.catch(() => undefined)
        await running?.stop()
      }
    },
  }
  return lab
}
