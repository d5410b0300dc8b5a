/** A folder of files as one artifact: for languages whose programs are what lies in the folder. The same files give the same bytes. */
import { FnError, messageOf } from "@fn/core"
import { filesToPack, packArchive } from "@fn/registry"
import type { BuildInput, BuiltArtifact } from "./artifact.js"
import { BuildCache } from "./build-cache.js"
import { SourceDigest } from "./digest.js"

/** Packs `folder`. @throws {FnError} INVALID_DEFINITION without a command that says what to run in it; BUILD_FAILED for what cannot be packed */
export async function packFolder(input: BuildInput, folder: string): Promise<BuiltArtifact> {
  const { entry, command, name } = input.manifest
  if (!command?.some((argument) => argument.includes("{artifact}"))) {
    const hint = `command must say what to run in it, such as [ruby, "{artifact}/main.rb"]`
    throw FnError.of("INVALID_DEFINITION", `fn.yaml: entry: ${entry} is a folder, so ${hint}`)
  }
  try {
    input.onProgress("packing the folder")
    const files = await filesToPack(folder)
    const sources = new SourceDigest()
    for (const file of files) {
      await sources.addFile(file.name, file.path)
      if (file.executable) sources.add(file.name, "executable")
    }
    const cache = new BuildCache(input.cacheDir, ".tar")
    const kept = await cache.find(sources.value)
    const path = kept ?? (await cache.keep(sources.value, (draft) => packArchive(files, draft)))
    const inputs = files.map((file) => file.path)
    return { path, fileName: `${name}.tar`, archive: true, sourceDigest: sources.value, inputs, warnings: [], cached: kept !== undefined }
  } catch (thrown) {
    if (!FnError.is(thrown) || thrown.reason !== "INVALID_ARTIFACT") throw thrown
    throw FnError.of("BUILD_FAILED", `${entry} cannot be packed: ${messageOf(thrown).replace("the archive is refused: ", "")}`, {
      cause: thrown,
    })
  }
}
