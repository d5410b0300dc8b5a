/**
 * Sources of the Go, the Java, the Python and the Rust SDK in the published package, for `fn init` and for building functions; in a clone they
 * are taken from sdk/. Before packing they are copied here, after it (`--clean`) the copies go again.
 */
import { cpSync, rmSync } from "node:fs"
import { basename } from "node:path"
import { fileURLToPath } from "node:url"

const SDKS = [
  { from: "../../../sdk/go", to: "../go-sdk", leftOut: /^\.|_test\.go$|\.sh$/ },
  { from: "../../../sdk/java", to: "../java-sdk", leftOut: /^\.|^target$|^test$|\.sh$/ },
  { from: "../../../sdk/python/src", to: "../python-sdk", leftOut: /^\.|^__pycache__$|\.egg-info$/ },
  { from: "../../../sdk/rust", to: "../rust-sdk", leftOut: /^\.|^target$|^generate|^rustfmt.toml$|^Cargo.lock$/ },
]

for (const { from, to, leftOut } of SDKS) {
  const [source, target] = [from, to].map((path) => fileURLToPath(new URL(path, import.meta.url)))
  rmSync(target, { recursive: true, force: true })
  if (process.argv[2] !== "--clean") cpSync(source, target, { recursive: true, filter: (path) => !leftOut.test(basename(path)) })
}
