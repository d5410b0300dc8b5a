/**
 * The Go SDK's sources in the published package, for `fn init --template go`; in a clone they are taken from sdk/go.
 * Before packing they are copied here, after it (`--clean`) the copy goes again.
 */
import { cpSync, rmSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const from = fileURLToPath(new URL("../../../sdk/go", import.meta.url))
const to = fileURLToPath(new URL("../go-sdk", import.meta.url))

rmSync(to, { recursive: true, force: true })
if (process.argv[2] !== "--clean") {
  cpSync(from, to, { recursive: true, filter: (path) => !basename(path).startsWith(".") && !/_test\.go$|\.sh$/.test(path) })
}
