import { existsSync } from "node:fs"
import { fileURLToPath } from "node:url"

const repository = new URL("../../../", import.meta.url)

/** Python for tests: `npm run setup` makes it, in the work folder. */
export interface Python {
  /** The interpreter, with grpcio, protobuf and cryptography. */
  readonly executable: string
  /** Environment in which pip finds these packages without a network. */
  readonly pipEnv: Readonly<Record<string, string>>
  /** Folder of the Python SDK's package, for PYTHONPATH. */
  readonly sdkFolder: string
  /** Command line of a program that uses the SDK and needs nothing from its environment. */
  command(program: string, ...args: string[]): [string, ...string[]]
}

/** Python with the packages of its SDK; undefined where there is none. Tests that need it then say `SKIPPED: needs grpcio: …`. */
export function findPython(): Python | undefined {
  const folder = fileURLToPath(new URL(".fn/python", repository))
  if (!existsSync(`${folder}/ready`)) return undefined
  const executable = `${folder}/bin/python`
  const sdkFolder = fileURLToPath(new URL("sdk/python/src", repository))
  // As Python itself starts a program, with the SDK on the path beside the program's own folder.
  const start = [
    "import os, runpy, sys",
    "del sys.argv[0]",
    `sys.path[0:1] = [os.path.dirname(sys.argv[0]), ${JSON.stringify(sdkFolder)}]`,
    "sys.dont_write_bytecode = True",
    `runpy.run_path(sys.argv[0], run_name="__main__")`,
  ].join("; ")
  const pipEnv = { PIP_NO_INDEX: "1", PIP_FIND_LINKS: `${folder}/wheels` }
  return { executable, pipEnv, sdkFolder, command: (program, ...args) => [executable, "-c", start, program, ...args] }
}
