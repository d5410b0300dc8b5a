/**
 * The environment of this test run for a `fn` of its own: no FN_… variable reaches it but the path of a server, and its builds are cached
 * below `dir`.
 */
export function testEnvironment(dir: string, more: Readonly<Record<string, string>> = {}): Record<string, string> {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && (!name.startsWith("FN_") || name === "FN_NATS_SERVER")) env[name] = value
  }
  return { ...env, FN_CACHE_DIR: `${dir}/cache`, NO_COLOR: "1", ...more }
}
