import { servePlugin } from "@fn/plugin-sdk"
import issueLabeler from "../../src/index.js"

await servePlugin(issueLabeler)
