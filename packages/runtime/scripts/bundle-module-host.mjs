// One file, so that a module process loads nothing else: each further file costs its start about a millisecond.
import { build } from "esbuild"

await build({
  entryPoints: ["dist/module-host/main.js"],
  outfile: "dist/module-host/main.bundle.mjs",
  bundle: true,
  platform: "node",
  format: "esm",
  target: "node20",
  minify: true,
  logLevel: "warning",
})
