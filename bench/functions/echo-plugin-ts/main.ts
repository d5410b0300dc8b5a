import { defineFunction, servePlugin } from "@fn/plugin-sdk"

await servePlugin(defineFunction({ name: "echo-plugin-ts", handler: (event) => ({ type: "com.example.echoed", data: event.data }) }))
