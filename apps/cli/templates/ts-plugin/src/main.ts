import { servePlugin } from "@fn/plugin-sdk"
import greet from "./index.js"

await servePlugin(greet)
