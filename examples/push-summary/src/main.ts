import { servePlugin } from "@fn/plugin-sdk"
import pushSummary from "./index.js"

await servePlugin(pushSummary)
