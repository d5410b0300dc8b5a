/** Files of a small module function. `body` is the inside of its handler: `(event, ctx) => …`. */
export function moduleFunction(name: string, body: string, more = ""): Record<string, string> {
  return {
    [`${name}/fn.yaml`]: `name: ${name}\nlanguage: js\nruntime: module\n${more}`,
    [`${name}/index.ts`]: `export default async (event: { type: string; data?: any }, ctx: any) => {\n  ${body}\n}\n`,
  }
}

/** Gives back what it got. */
export const ECHO = `return { type: "echoed", data: event.data ?? null }`
