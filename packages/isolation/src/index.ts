export * from "./guarantee.js"
export * from "./limits.js"
