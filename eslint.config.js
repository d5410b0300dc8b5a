import { existsSync, readdirSync } from "node:fs"
import { join } from "node:path"
import tseslint from "typescript-eslint"

const root = import.meta.dirname
const groups = ["packages", "apps", "examples"].flatMap((group) =>
  existsSync(join(root, group)) ? readdirSync(join(root, group)).map((name) => join(group, name)) : [],
)
// A folder's tests and sources together, where it has tests.
const projects = ["proto", ...groups, "bench", "e2e"].flatMap((folder) =>
  ["tsconfig.test.json", "tsconfig.json"]
    .map((file) => join(folder, file))
    .filter((file) => existsSync(join(root, file)))
    .slice(0, 1),
)

// Only the rules that need types; biome does the rest.
export default tseslint.config(
  {
    ignores: [
      "**/dist/**",
      "**/src/gen/**",
      "**/*.{js,cjs,mjs}",
      "**/node_modules/**",
      "**/.fn/**",
      "**/build/**",
      "**/templates/**",
      "**/fixtures/**",
      "bench/functions/**",
    ],
  },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.base],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: {
      parserOptions: { project: projects, tsconfigRootDir: root },
    },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    },
  },
)
