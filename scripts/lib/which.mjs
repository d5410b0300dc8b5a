import { accessSync, constants } from "node:fs"
import { delimiter, join } from "node:path"

/** The first executable called `name` on PATH. Not from @fn/process: scripts run before anything is built. */
export function findOnPath(name) {
  return (process.env.PATH ?? "")
    .split(delimiter)
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, name))
    .find((path) => {
      try {
        accessSync(path, constants.X_OK)
        return true
      } catch {
        return false // not in this folder
      }
    })
}
