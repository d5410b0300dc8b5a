import { mkdir, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { describe, expect, test } from "@jest/globals"
import { tempDir } from "../../test/support.js"
import { resolveNatsOptions } from "./connect.js"
import { loadNatsContext } from "./context.js"

async function contexts(dir: string, files: Record<string, unknown>): Promise<{ XDG_CONFIG_HOME: string; HOME: string }> {
  const folder = join(dir, "nats", "context")
  await mkdir(folder, { recursive: true })
  for (const name in files) {
    const content = files[name]
    await writeFile(join(folder, `${name}.json`), typeof content === "string" ? content : JSON.stringify(content))
  }
  return { XDG_CONFIG_HOME: dir, HOME: "/home/ada" }
}

/** As `nats context save` writes it: every key, most of them empty. */
const SAVED = {
  description: "the test cluster",
  url: "nats://a:4222,nats://b:4222",
  socks_proxy: "",
  token: "",
  user: "",
  password: "",
  creds: "~/creds/ada.creds",
  nkey: "",
  cert: "",
  key: "",
  ca: "/etc/ca.pem",
  nsc: "",
  jetstream_domain: "hub",
  jetstream_api_prefix: "",
  jetstream_event_prefix: "",
  inbox_prefix: "_INBOX_ada",
  user_jwt: "",
  color_scheme: "",
  tls_first: false,
}

describe("contexts of the nats command", () => {
  test("a saved context gives its options, empty ones left out", async () => {
    await using dir = await tempDir()
    const env = await contexts(dir.path, { hub: SAVED })
    expect(resolveNatsOptions({ context: "hub" }, env)).toEqual({
      servers: "nats://a:4222,nats://b:4222",
      credsFile: "/home/ada/creds/ada.creds",
      caFile: "/etc/ca.pem",
      jsDomain: "hub",
      inboxPrefix: "_INBOX_ada",
    })
  })

  test("an option beside the context wins, and a credential replaces all of the context's", async () => {
    await using dir = await tempDir()
    const env = await contexts(dir.path, { hub: { ...SAVED, user: "ada", password: "secret" } })
    const options = resolveNatsOptions({ context: "hub", servers: "nats://c:4222", nkeyFile: "/nkey" }, env)
    expect(options).toMatchObject({ servers: "nats://c:4222", nkeyFile: "/nkey", caFile: "/etc/ca.pem" })
    expect(options.credsFile ?? options.user ?? options.password).toBeUndefined()
  })

  test("the path of a context file works too", async () => {
    await using dir = await tempDir()
    await contexts(dir.path, { hub: { url: "nats://a:4222" } })
    expect(loadNatsContext(join(dir.path, "nats", "context", "hub.json"))).toMatchObject({ servers: "nats://a:4222" })
  })

  test.each([
    ["absent", "absent", "no NATS context"],
    ["a name that leaves the folder", "../hub", "no name"],
    ["no JSON", "broken", "broken"],
    ["a key of another type", "typed", "broken"],
    ["a setting we would not obey", "nsc", "nsc"],
  ])("%s fails with INVALID_CONFIG", async (_what, name, message) => {
    await using dir = await tempDir()
    const env = await contexts(dir.path, { broken: "{", typed: { url: 4222 }, nsc: { url: "x", nsc: "nsc://op/acc/user" } })
    expect(() => loadNatsContext(name, env)).toThrow(
      expect.objectContaining({ reason: "INVALID_CONFIG", message: expect.stringContaining(message) }),
    )
  })
})
