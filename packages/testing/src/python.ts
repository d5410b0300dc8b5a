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
  const start = `import runpy, sys; sys.path.insert(0, ${JSON.stringify(sdkFolder)}); del sys.argv[0]; runpy.run_path(sys.argv[0], run_name="__main__")`
  const pipEnv = { PIP_NO_INDEX: "1", PIP_FIND_LINKS: `${folder}/wheels` }
  return { executable, pipEnv, sdkFolder, command: (program, ...args) => [executable, "-c", start, program, ...args] }
}
