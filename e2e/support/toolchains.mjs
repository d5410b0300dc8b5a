/** What builds functions of a language on this machine. */
import { findOnPath } from "@fn/process"
import { findJava, findPython, findRust, javaNeeds } from "@fn/testing"

/**
 * @typedef {object} Toolchain
 * @property {string} [needs] what is missing; nothing can then be built
 * @property {Readonly<Record<string, string>>} env what makes `fn deploy` build with what `npm run setup` and earlier tests have kept
 */

/** Of a language, as fn.yaml has it. @param {string} language @returns {Toolchain} */
export function toolchainFor(language) {
  switch (language) {
    case "go":
      return { env: {}, ...needs("go") }
    case "python":
      return { env: findPython()?.pipEnv ?? {}, ...(findPython() ? {} : { needs: "grpcio" }) }
    case "java":
      return { env: findJava()?.mavenEnv ?? {}, ...(findJava() ? {} : { needs: javaNeeds() }) }
    case "rust":
      return { env: findRust()?.builderEnv ?? {}, ...needs("cargo") }
    default:
      return { env: {} }
  }
}

/** @param {string} program @returns {{ needs?: string }} */
function needs(program) {
  return findOnPath(program) === undefined ? { needs: program } : {}
}
