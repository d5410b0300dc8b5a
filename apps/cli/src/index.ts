export { type BuildOptions, type BuiltFunction, buildFunction } from "./builder/build-function.js"
export { MANIFEST_FILE, readManifest } from "./builder/manifest-file.js"
