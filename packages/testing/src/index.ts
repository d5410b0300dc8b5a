export * from "./process-tree.js"
export * from "./temp-dir.js"
export * from "./test-server.js"
export * from "./until.js"
