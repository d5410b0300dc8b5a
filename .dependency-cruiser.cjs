/**
 * Who may import whom (docs/architecture.md). Run after a build: sister packages resolve to their dist.
 *
 * Each package names the sisters that its sources may import; everything else in the workspace is forbidden to it. Tests may import more
 * (their dependencies are devDependencies), but never apps.
 */
const ALLOWED = {
  proto: [],
  "packages/core": ["proto"],
  "packages/process": ["packages/core"],
  "packages/isolation": ["packages/core", "packages/process"],
  "packages/metrics": ["packages/core"],
  "packages/nats": ["packages/core", "packages/process"],
  "packages/go-plugin": ["proto", "packages/core", "packages/process"],
  "packages/queue": ["packages/core", "packages/nats"],
  "packages/registry": ["packages/core", "packages/nats", "packages/queue"],
  "packages/client": ["packages/core", "packages/nats", "packages/queue", "packages/registry"],
  "packages/plugin-sdk": ["proto", "packages/core", "packages/go-plugin"],
  "packages/runtime": [
    "proto",
    "packages/core",
    "packages/process",
    "packages/isolation",
    "packages/nats",
    "packages/queue",
    "packages/registry",
    "packages/metrics",
    "packages/go-plugin",
  ],
  "packages/app": ["packages/core", "packages/nats"],
  "packages/testing": ["packages/core", "packages/process", "packages/nats"],
  "apps/runtime-service": [
    "packages/core",
    "packages/app",
    "packages/metrics",
    "packages/nats",
    "packages/queue",
    "packages/registry",
    "packages/runtime",
  ],
  "apps/gateway": [
    "packages/core",
    "packages/app",
    "packages/client",
    "packages/metrics",
    "packages/nats",
    "packages/queue",
    "packages/registry",
  ],
  // The CLI runs a whole platform in one process (fn dev).
  "apps/cli": [
    "packages/core",
    "packages/app",
    "packages/process",
    "packages/nats",
    "packages/queue",
    "packages/registry",
    "packages/client",
    "packages/metrics",
    "packages/plugin-sdk",
    "packages/runtime",
    "apps/gateway",
  ],
}

const TEST = "(\\.test(-d)?\\.ts$|/test/)"
const WORKSPACE = "^(proto|packages/[^/]+|apps/[^/]+)/"

const arrows = Object.entries(ALLOWED).map(([folder, allowed]) => ({
  name: `arrow-${folder.split("/").pop()}`,
  comment: `${folder} may import ${allowed.length > 0 ? allowed.join(", ") : "no sister"}`,
  severity: "error",
  from: { path: `^${folder}/`, pathNot: TEST },
  to: { path: WORKSPACE, pathNot: `^(${[folder, ...allowed].join("|")})/` },
}))

module.exports = {
  forbidden: [
    ...arrows,
    {
      name: "package-without-arrow",
      comment: "a package that stands in no row of ALLOWED: add it, with what it may import",
      severity: "error",
      from: { path: WORKSPACE, pathNot: [`^(${Object.keys(ALLOWED).join("|")})/`, TEST] },
      to: { path: WORKSPACE },
    },
    {
      name: "no-app-from-a-package",
      comment: "tests included",
      severity: "error",
      from: { path: "^(proto|packages)/" },
      to: { path: "^apps/" },
    },
    {
      name: "no-circular",
      comment: "modules that load each other; two that only name each other's types are no cycle when they run",
      severity: "error",
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ["type-only"] } },
    },
    {
      name: "declared-only",
      comment: "what a source imports is a dependency of its package: not a devDependency, not the root's",
      severity: "error",
      from: { path: "^(proto|packages/[^/]+|apps/[^/]+)/src/", pathNot: TEST },
      to: { dependencyTypes: ["npm-dev", "npm-no-pkg", "npm-unknown"] },
    },
    { name: "unresolvable", severity: "error", from: {}, to: { couldNotResolve: true } },
    {
      name: "no-tests-in-sources",
      severity: "error",
      from: { pathNot: TEST },
      to: { path: TEST },
    },
  ],
  options: {
    // Not `exclude`: sister packages resolve to dist and must be seen.
    doNotFollow: { path: "node_modules|dist" },
    tsPreCompilationDeps: true,
    tsConfig: { fileName: "tsconfig.base.json" },
    enhancedResolveOptions: { exportsFields: ["exports"], conditionNames: ["types", "import", "default"] },
  },
}
