/** functions-framework: the server that its command starts, on a free port, with a CloudEvent function that gives back the data of the event. */
import { cloudEvent } from "@google-cloud/functions-framework"
import { getTestServer } from "@google-cloud/functions-framework/testing"
import { programReady } from "../measure/program.mjs"

cloudEvent("echo", (event) => event.data)
const server = getTestServer("echo")
// As long as our gateway does: connections outlast the other rows of a round.
server.keepAliveTimeout = 72_000
server.listen(0, "127.0.0.1", () => programReady({ port: server.address().port }))
