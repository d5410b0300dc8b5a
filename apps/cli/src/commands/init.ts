import { basename, relative, resolve } from "node:path"
import { checkName, FnError } from "@fn/core"
import { Command, Option } from "commander"
import type { Io } from "../io.js"
import { Output } from "../output.js"
import { createProject } from "../project/create-project.js"
import { isTemplate, TEMPLATES, type TemplateName } from "../project/templates.js"

/** `fn init`: a new function in a new folder. */
export function initCommand(io: Io): Command {
  const templates = Object.entries(TEMPLATES)
    .map(([name, { summary }]) => `${name} (${summary})`)
    .join(", ")
  return new Command("init")
    .description("write a small function that runs at once")
    .argument("<dir>", "folder to make; it must be empty or not there")
    .addOption(new Option("-t, --template <name>", `one of ${templates}`).default("ts"))
    .option("--name <name>", "name of the function (default: the folder's)")
    .option("--json", "print the result as JSON")
    .action(async (dir: string, flags: { template: string; name?: string; json?: boolean }) => {
      const out = new Output(io, { json: flags.json === true })
      if (!isTemplate(flags.template)) {
        throw FnError.of(
          "TEMPLATE_UNKNOWN",
          `there is no template ${JSON.stringify(flags.template)}: the templates are ${Object.keys(TEMPLATES).join(", ")}`,
        )
      }
      const path = resolve(io.cwd, dir)
      const name = flags.name === undefined ? nameFromFolder(path) : checkName(flags.name)
      const files = await createProject({ path, name, template: flags.template })
      out.result({ path, name, template: flags.template, files }, (style) => {
        const shown = relative(io.cwd, path) || "."
        return [
          `${style.green("created")} ${style.bold(name)} in ${shown} ${style.dim(`(${flags.template}, ${files.length} files)`)}`,
          "",
          ...nextSteps(io, shown, name, flags.template as TemplateName).map(
            ([command, what]) => `  ${style.cyan(command.padEnd(48))} ${style.dim(what)}`,
          ),
        ].join("\n")
      })
    })
}

function nextSteps(io: Io, dir: string, name: string, template: TemplateName): [string, string][] {
  // From a clone the command is called another way; scripts/fn.mjs says which.
  const fn = io.env.FN_COMMAND || "fn"
  const steps: [string, string][] = [
    [`${fn} dev ${dir}`, "run it here; every save is live"],
    [`${fn} invoke ${name} --data '{"name":"Ada"}'`, "call it"],
    [TEMPLATES[template].test, "test it"],
  ]
  return steps.filter(([command]) => command !== "")
}

/** The folder's name as a function's, as far as one can be made of it. @throws {FnError} invalid_argument INVALID_NAME */
function nameFromFolder(path: string): string {
  const name = basename(path)
    .toLowerCase()
    .replace(/[^a-z0-9_-]+/g, "-")
    .replace(/^[^a-z]+|-+$/g, "")
    .slice(0, 63)
  if (name === "")
    throw FnError.of(
      "INVALID_NAME",
      `no function name can be made of the folder's name ${JSON.stringify(basename(path))}: give one with --name`,
    )
  return name
}
