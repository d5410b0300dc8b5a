/**
 * What is called under load: for each, the module of its client, and how to start what it calls. `start` resolves with the client's options and
 * the processes behind it by role, which is how CPU and memory are told apart.
 */

const nats = (reference) => ({
  path: `references/${reference}.mjs`,
  async start(lab) {
    const platform = await lab.platform()
    const responder = await lab.program("references/nats-responder.mjs", { url: platform.url })
    return { options: { url: platform.url }, pids: { nats: [platform.natsPid], responder: [responder.pid] } }
  },
})

const invoked = (functionName, folder) => ({
  path: "product/invoke.mjs",
  async start(lab, { runtimes }) {
    const platform = folder ? await lab.platformWith(folder, runtimes) : await lab.platform(runtimes)
    return { options: { url: platform.url, functions: [functionName] }, pids: platform.pids() }
  },
})

const stored = (path) => ({
  path,
  async start(lab) {
    const platform = await lab.platform()
    return { options: { url: platform.url, functionName: "echo-builtin" }, pids: platform.pids() }
  },
})

const http = (path, start) => ({
  path: "measure/http-client.mjs",
  async start(lab) {
    const { port, pids } = await start(lab)
    return { options: { port, path }, pids }
  },
})

const httpServer = (program) => async (lab) => {
  const server = await lab.program(program)
  return { port: server.message.port, pids: { responder: [server.pid] } }
}

export const TARGETS = {
  "raw-echo": nats("raw-echo"),
  "lean-echo": nats("lean-echo"),
  "jetstream-echo": {
    path: "references/jetstream-echo.mjs",
    async start(lab) {
      const { url, natsPid } = await lab.platform()
      const worker = await lab.program("references/jetstream-worker.mjs", { url })
      return { options: { url }, pids: { nats: [natsPid], responder: [worker.pid] } }
    },
  },
  "http-echo": http("/", httpServer("references/http-responder.mjs")),
  moleculer: {
    path: "peers/moleculer.mjs",
    async start(lab) {
      const { url, natsPid } = await lab.platform()
      const service = await lab.program("peers/moleculer-service.mjs", { url })
      return { options: { url }, pids: { nats: [natsPid], responder: [service.pid] } }
    },
  },
  "functions-framework": http("/", httpServer("peers/functions-framework.mjs")),
  builtin: invoked("echo-builtin"),
  module: invoked("echo-module", "echo-module"),
  "plugin-ts-stream": invoked("echo-plugin-ts", "echo-plugin-ts"),
  "plugin-go-stream": invoked("echo-plugin-go", "echo-plugin-go"),
  "plugin-go-unary": invoked("echo-plugin-go-unary", "echo-plugin-go-unary"),
  wasm: invoked("echo-wasm", "echo-wasm"),
  command: invoked("echo-command", "echo-command"),
  "http-builtin": http("/function/echo-builtin", async (lab) => {
    const platform = await lab.platform()
    const gateway = await lab.once("gateway", async () => ({ ...(await platform.addGateway()), stop: () => {} }))
    return { port: gateway.port, pids: { ...platform.pids(), gateway: [gateway.pid] } }
  }),
  async: stored("product/invoke-async.mjs"),
  "async-plain": stored("product/publish-async.mjs"),
}
