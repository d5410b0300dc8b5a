export * from "./child.js"
export * from "./exit.js"
export * from "./tether.js"
