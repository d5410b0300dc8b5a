import { join } from "node:path"

/** The environment of this test run with a cache folder of its own: nothing is taken from or left in the user's. */
export function testEnvironment(cacheDir: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) if (value !== undefined && !name.startsWith("FN_")) env[name] = value
  return { ...env, FN_CACHE_DIR: join(cacheDir, "cache"), NO_COLOR: "1", ...more }
}
