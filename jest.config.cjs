const { existsSync, readdirSync } = require("node:fs")
const { join } = require("node:path")

// Every folder with a jest.config.cjs is a project: a folder without tests yet, or one that does not exist yet, is no error.
const groups = ["packages", "apps", "examples"].flatMap((group) =>
  existsSync(join(__dirname, group)) ? readdirSync(join(__dirname, group)).map((name) => join(group, name)) : [],
)
const folders = [...groups, "bench", "e2e", "scripts", "docs"].filter((folder) => existsSync(join(__dirname, folder, "jest.config.cjs")))

module.exports = { projects: folders.map((folder) => `<rootDir>/${folder}`), passWithNoTests: true, testTimeout: 30_000 }
