export * from "./child.js"
export * from "./exit.js"
export * from "./scratch-folder.js"
export * from "./tether.js"
