/** The other end: an action that gives back what it gets. */
import { programArguments, programReady } from "../measure/program.mjs"
import { startBroker } from "./moleculer-broker.mjs"

const broker = startBroker("server", programArguments().url)
broker.createService({ name: "bench", actions: { echo: (context) => context.params } })
await broker.start()
programReady()
