import { existsSync, readdirSync, readFileSync } from "node:fs"
import { dirname, join, resolve } from "node:path"
import { fileURLToPath } from "node:url"

/** Root of the checkout. */
export const root = resolve(dirname(fileURLToPath(import.meta.url)), "../..")

/** Where scripts leave logs and results; ignored by git. */
export const workFolder = join(root, ".fn")

/** Folders of the workspace's packages, relative to the root: those of pnpm-workspace.yaml that exist and have a package.json. */
export function packageFolders() {
  const groups = ["packages", "apps", "examples"].flatMap((group) =>
    existsSync(join(root, group)) ? readdirSync(join(root, group)).map((name) => join(group, name)) : [],
  )
  return ["proto", ...groups, "bench", "e2e"].filter((folder) => existsSync(join(root, folder, "package.json")))
}

/** The parsed package.json of a folder relative to the root. */
export function readManifest(folder) {
  return JSON.parse(readFileSync(join(root, folder, "package.json"), "utf8"))
}
