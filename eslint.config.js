import tseslint from "typescript-eslint"

// Only the rules that need types; biome does the rest.
export default tseslint.config(
  { ignores: ["**/dist/**", "**/src/gen/**", "**/*.{js,cjs,mjs}", "**/node_modules/**"] },
  {
    files: ["**/*.ts"],
    extends: [tseslint.configs.base],
    linterOptions: { reportUnusedDisableDirectives: "error" },
    languageOptions: {
      parserOptions: {
        project: [
          "proto/tsconfig.json",
          "packages/*/tsconfig.test.json",
          "apps/*/tsconfig.test.json",
          "examples/*/tsconfig.json",
          "e2e/tsconfig.json",
          "bench/tsconfig.json",
        ],
        tsconfigRootDir: import.meta.dirname,
      },
    },
    rules: {
      "@typescript-eslint/no-floating-promises": "error",
      "@typescript-eslint/no-misused-promises": "error",
      "@typescript-eslint/await-thenable": "error",
      "@typescript-eslint/switch-exhaustiveness-check": ["error", { considerDefaultExhaustiveForUnions: true }],
    },
  },
)
