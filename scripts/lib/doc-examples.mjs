import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { packageFolders, readManifest, root, workFolder } from "./paths.mjs"
import { runLogged } from "./run.mjs"

const folder = join(workFolder, "doc-examples")

/**
 * Compiles the TypeScript examples of pages: every `ts` fence that imports one of our packages. A first line `// name.ts` names its file,
 * so that one example of a page can import another. `<!-- not compiled: why -->` before a fence leaves it out. Resolves to the compiler's
 * errors.
 */
export async function checkExamples(pages) {
  const examples = pages.flatMap(examplesOf)
  if (examples.length === 0) return []
  rmSync(folder, { recursive: true, force: true })
  linkModules()
  for (const { file, code } of examples) {
    mkdirSync(dirname(join(folder, file)), { recursive: true })
    writeFileSync(join(folder, file), code)
  }
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }')
  const compilerOptions = { noEmit: true, composite: false, declaration: false, declarationMap: false }
  writeFileSync(
    join(folder, "tsconfig.json"),
    JSON.stringify({ extends: "../../tsconfig.base.json", compilerOptions, include: ["**/*.ts"] }),
  )
  const logFile = join(workFolder, "doc-examples.log")
  const { code, output } = await runLogged("tsc", ["-p", folder, "--pretty", "false"], { logFile })
  return code === 0 ? [] : output.trim().split("\n")
}

function examplesOf(page) {
  const text = readFileSync(join(root, page), "utf8")
  const fences = [...text.matchAll(/^(<!-- not compiled.*-->\n+)?```ts\n([\s\S]*?)^```/gm)].flatMap(([, skip, code]) => (skip ? [] : code))
  return fences.flatMap((code, index) => {
    if (!/from "@fn\//.test(code)) return []
    const name = /^\/\/ ((?:[\w-]+[./])*ts)\n/.exec(code)?.[1] ?? `example-${index + 1}.ts`
    return [{ file: join(page.replace(/\.md$/, "").replaceAll("/", "-"), name), code }]
  })
}

/** A node_modules with our packages as they are built, and with what they depend on, for examples that use that too. */
function linkModules() {
  const target = join(folder, "node_modules")
  const link = (name, path) => {
    if (existsSync(join(target, name))) return
    mkdirSync(dirname(join(target, name)), { recursive: true })
    symlinkSync(path, join(target, name))
  }
  const folders = packageFolders()
  for (const path of folders) link(readManifest(path).name, join(root, path))
  for (const path of folders)
    for (const name of installedIn(join(root, path, "node_modules"))) link(name, join(root, path, "node_modules", name))
  for (const name of installedIn(join(root, "node_modules"))) link(name, join(root, "node_modules", name))
}

function installedIn(modules) {
  if (!existsSync(modules)) return []
  const names = readdirSync(modules).filter((name) => !name.startsWith("."))
  return names.flatMap((name) => (name.startsWith("@") ? readdirSync(join(modules, name)).map((inner) => `${name}/${inner}`) : name))
}
