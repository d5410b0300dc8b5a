/** From a folder to a served version: build, then the registry's deploy. Both `fn deploy` and `fn dev` do it. */
import { hostname, userInfo } from "node:os"
import type { DeployResult, FunctionManifest, Registry } from "@fn/registry"
import { type BuiltFunction, buildFunction } from "./builder/build-function.js"
import { environmentOf, type Io } from "./io.js"
import type { Progress } from "./progress.js"
import { formatBytes } from "./style.js"

/** Builds the function in `dir`, telling `progress`. @throws {FnError} as buildFunction */
export function buildFolder(dir: string, io: Pick<Io, "env" | "signal">, progress: Pick<Progress, "step">): Promise<BuiltFunction> {
  return buildFunction(dir, { env: environmentOf(io), onProgress: (step) => progress.step(step), signal: io.signal })
}

/** Deploys what was built under `manifest`, which may differ from the built one in version and namespace. */
export function deployBuilt(
  registry: Registry,
  built: BuiltFunction,
  options: { readonly manifest: FunctionManifest; readonly io: Pick<Io, "env">; readonly progress: Progress },
): Promise<DeployResult> {
  const { manifest, progress } = options
  const { artifact, sourceDigest } = built
  let uploading = false
  return registry.deploy(manifest, {
    ...(artifact ? { artifact: { path: artifact.path }, fileName: artifact.fileName, archive: artifact.archive } : {}),
    ...(sourceDigest === undefined ? {} : { sourceDigest }),
    deployedBy: deployer(options.io),
    onProgress: (step) => {
      if (step.step === "upload") {
        if (!uploading) progress.step(`uploading ${formatBytes(step.sizeBytes)}`)
        uploading = true
        progress.fraction(step.sizeBytes === 0 ? 1 : step.sentBytes / step.sizeBytes)
      } else if (step.step === "commit") progress.step(`committing version ${step.version}`)
      else progress.step(`hosts: ${step.answered} of ${step.found} answered`)
    },
  })
}

/** `user@machine`, as good as a name without authentication can be. */
function deployer(io: Pick<Io, "env">): string {
  return `${io.env.USER || io.env.LOGNAME || userInfo().username}@${hostname()}`
}
