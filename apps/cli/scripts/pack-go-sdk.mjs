/** Before this package is packed: the Go SDK's sources go into it, for `fn init --template go`. In a clone they are taken from sdk/go. */
import { cpSync, rmSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const from = fileURLToPath(new URL("../../../sdk/go", import.meta.url))
const to = fileURLToPath(new URL("../go-sdk", import.meta.url))

rmSync(to, { recursive: true, force: true })
cpSync(from, to, { recursive: true, filter: (path) => !basename(path).startsWith(".") && !path.endsWith("_test.go") })
