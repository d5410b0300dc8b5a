/** `npm run bench`: sets the checkout up and runs bench/main.mjs with the arguments given. */
import { join } from "node:path"
import { root } from "./lib/paths.mjs"
import { runShown } from "./lib/run.mjs"
import { ensureSetup } from "./setup.mjs"

await ensureSetup()
process.exitCode = await runShown(process.execPath, [join(root, "bench/main.mjs"), ...process.argv.slice(2)])
