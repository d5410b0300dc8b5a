/** Streams as any NATS client sees them: docs/protocol.md#streaming. */
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { jest } from "@jest/globals"
// @ts-expect-error a fixture without types
import streams from "./streaming/fixtures/streams.mjs"
import { streamContract } from "./streaming/stream-contract.js"

jest.setTimeout(30_000)

const fixture = (name: string): string => fileURLToPath(new URL(`./streaming/fixtures/${name}`, import.meta.url))

streamContract("as a builtin", { builtins: { streams: streams as never }, deploy: (host) => host.deployBuiltin("streams") })
streamContract("as a module", { deploy: (host) => host.deployModule("streams", readFileSync(fixture("streams.mjs"), "utf8")) })
streamContract("as a plugin in TypeScript", {
  deploy: (host) => host.deployPlugin("streams", [process.execPath, fixture("streams-plugin.mjs")]),
})
