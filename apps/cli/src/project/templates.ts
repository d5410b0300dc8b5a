import { fileURLToPath } from "node:url"

/** What `fn init` can write, and the command that tests it, if there is one. The files are in templates/{name}/. */
export const TEMPLATES = {
  ts: { summary: "TypeScript, run as a module", test: "npm install && npm test" },
  "ts-plugin": { summary: "TypeScript, a program of its own", test: "npm install && npm test" },
  go: { summary: "Go, a program of its own", test: "go test ./..." },
  python: { summary: "Python, a program of its own", test: "python3 -m unittest" },
  java: { summary: "Java, a program of its own", test: "mvn test" },
  rust: { summary: "Rust, a program of its own", test: "cargo test" },
  shell: { summary: "a shell script, a process per call", test: "sh greet.test.sh" },
  ruby: { summary: "Ruby, a process per call", test: "ruby greet_test.rb" },
  php: { summary: "PHP, a process per call", test: "php greet_test.php" },
  command: { summary: "any program, here awk, a process per call", test: "sh greet.test.sh" },
  "wasm-rust": { summary: "Rust as WebAssembly", test: "cargo test" },
  "wasm-wat": { summary: "WebAssembly as text", test: "" },
} as const satisfies Record<string, { summary: string; test: string }>
export type TemplateName = keyof typeof TEMPLATES

/** Whether there is such a template. */
export function isTemplate(name: string): name is TemplateName {
  return Object.hasOwn(TEMPLATES, name)
}

/** Folder of a template's files. */
export function templateFolder(name: TemplateName): string {
  return fileURLToPath(new URL(`../../templates/${name}`, import.meta.url))
}
