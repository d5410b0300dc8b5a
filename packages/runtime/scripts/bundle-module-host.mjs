// One file each, so that a module or WebAssembly process loads nothing else: each further file costs its start about a millisecond.
import { build } from "esbuild"

for (const program of ["module-host", "wasm-host"])
  await build({
    entryPoints: [`dist/${program}/main.js`],
    outfile: `dist/${program}/main.bundle.mjs`,
    bundle: true,
    platform: "node",
    format: "esm",
    target: "node20",
    minify: true,
    logLevel: "warning",
  })
