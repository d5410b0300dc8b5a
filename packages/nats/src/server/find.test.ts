import { createHash } from "node:crypto"
import { chmod, copyFile, mkdir, readdir, readFile, symlink, writeFile } from "node:fs/promises"
import { createServer } from "node:http"
import type { AddressInfo } from "node:net"
import { join } from "node:path"
import { type Child, findOnPath, spawnChild } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { create } from "tar"
import { serverBinary, tempDir, until } from "../../test/support.js"
import { type FindServerOptions, findNatsServer } from "./find.js"
import { PINNED_RELEASE, platformOf } from "./release.js"
import { startNatsServer } from "./start.js"
import { PINNED_SERVER_VERSION, readServerVersion } from "./version.js"

const SLOW_MS = 180_000

/** A machine where nothing is installed: every test adds what it is about. */
function bare(dir: string, options: FindServerOptions = {}): FindServerOptions {
  return { cacheDir: join(dir, "cache"), env: { PATH: join(dir, "bin"), HOME: dir }, systemFolders: [], fetch: [], ...options }
}

/** A program that says it is nats-server `version`, as far as `-v` goes. */
async function writeProgram(path: string, version: string): Promise<void> {
  await mkdir(join(path, ".."), { recursive: true })
  await writeFile(path, `#!/bin/sh\necho "nats-server: v${version}"\n`)
  await chmod(path, 0o755)
}

/** The lines of NATS_SERVER_MISSING, by step. */
async function failuresOf(options: FindServerOptions): Promise<Record<string, string>> {
  const error = await findNatsServer(options).catch((thrown: unknown) => thrown)
  expect(error).toMatchObject({ code: "unavailable", reason: "NATS_SERVER_MISSING" })
  const { failures } = (error as { details: { failures: string[] } }).details
  return Object.fromEntries(failures.map((line) => [line.slice(0, line.indexOf(":")), line.slice(line.indexOf(":") + 2)]))
}

/** A site with release archives; counts what is asked of it. */
async function startSite(files: Record<string, Buffer>, options: { cutAfter?: number; delayMs?: number; neverAnswers?: boolean } = {}) {
  const asked: string[] = []
  const server = createServer((request, response) => {
    asked.push(request.url ?? "")
    if (options.neverAnswers) return
    const body = files[request.url ?? ""]
    if (!body) return void response.writeHead(404).end()
    response.writeHead(200, { "content-length": body.length })
    if (options.cutAfter !== undefined) return void response.write(body.subarray(0, options.cutAfter), () => response.destroy())
    setTimeout(() => response.end(body), options.delayMs ?? 0)
  })
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  return {
    asked,
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    [Symbol.asyncDispose]: async () => {
      server.closeAllConnections()
      await new Promise((resolve) => server.close(resolve))
    },
  }
}

/** An archive as the releases have it, and where the site has it. */
async function makeArchive(dir: string, version: string, program: (path: string) => Promise<void>) {
  const name = `nats-server-v${version}-${platformOf()}`
  const root = join(dir, "build")
  await mkdir(join(root, name), { recursive: true })
  await program(join(root, name, "nats-server"))
  await writeFile(join(root, name, "LICENSE"), "Apache-2.0")
  await writeFile(join(dir, "outside"), "must not be written")
  const file = join(dir, "archive.tar.gz")
  await create({ cwd: root, file, gzip: { level: 1 }, preservePaths: true }, [name, "../outside"])
  const body = await readFile(file)
  return { files: { [`/v${version}/${name}.tar.gz`]: body }, body, sha256: createHash("sha256").update(body).digest("hex") }
}

describe("findNatsServer looks", () => {
  test("an explicit path is taken, by option and by FN_NATS_SERVER, or nothing", async () => {
    await using dir = await tempDir()
    const path = await serverBinary()
    const version = await readServerVersion(path)
    expect(await findNatsServer(bare(dir.path, { explicitPath: path }))).toEqual({ path, version, source: "explicit" })
    expect(await findNatsServer(bare(dir.path, { env: { FN_NATS_SERVER: path } }))).toEqual({ path, version, source: "explicit" })
    await writeProgram(join(dir.path, "bin", "nats-server"), "2.11.0")
    for (const wrong of [join(dir.path, "absent"), "/bin/true"])
      await expect(findNatsServer(bare(dir.path, { explicitPath: wrong }))).rejects.toMatchObject({ reason: "NATS_SERVER_MISSING" })
    await expect(findNatsServer(bare(dir.path, { explicitPath: path, minVersion: "99.0.0" }))).rejects.toThrow("99.0.0 or newer")
  })

  test("then PATH, where the real one is found", async () => {
    await using dir = await tempDir()
    await mkdir(join(dir.path, "bin"))
    await symlink(await serverBinary(), join(dir.path, "bin", "nats-server"))
    expect(await findNatsServer(bare(dir.path))).toMatchObject({ path: join(dir.path, "bin", "nats-server"), source: "path" })
  })

  test("then the system folders, where Debian has it", async () => {
    await using dir = await tempDir()
    const path = join(dir.path, "sbin", "nats-server")
    await writeProgram(path, "2.9.10")
    const found = await findNatsServer(bare(dir.path, { systemFolders: [join(dir.path, "sbin")] }))
    expect(found).toEqual({ path, version: "2.9.10", source: "path" })
  })

  test("then the cache, newest first, passing over what is too old on PATH or does not run", async () => {
    await using dir = await tempDir()
    await writeProgram(join(dir.path, "bin", "nats-server"), "2.8.4")
    for (const version of ["2.9.10", "2.10.27", "2.9.25"]) await writeProgram(join(dir.path, "cache", version, "nats-server"), version)
    await mkdir(join(dir.path, "cache", "2.14.0"), { recursive: true })
    await writeFile(join(dir.path, "cache", "2.14.0", "nats-server"), "not a program")
    expect(await findNatsServer(bare(dir.path))).toMatchObject({ version: "2.10.27", source: "cache" })
    expect((await failuresOf(bare(dir.path, { minVersion: "2.11.0" }))).path).toContain("is nats-server 2.8.4, but 2.11.0 or newer")
  })

  test("the cache is in XDG_CACHE_HOME, else in ~/.cache", async () => {
    await using dir = await tempDir()
    const { cacheDir: _, ...options } = bare(dir.path)
    await writeProgram(join(dir.path, "xdg", "fn", "nats-server", "2.11.0", "nats-server"), "2.11.0")
    await writeProgram(join(dir.path, ".cache", "fn", "nats-server", "2.12.0", "nats-server"), "2.12.0")
    const xdg = { ...options.env, XDG_CACHE_HOME: join(dir.path, "xdg") }
    expect(await findNatsServer({ ...options, env: xdg })).toMatchObject({ version: "2.11.0" })
    expect(await findNatsServer(options)).toMatchObject({ version: "2.12.0" })
  })

  test("with nothing anywhere the error says for every step why", async () => {
    await using dir = await tempDir()
    const failures = await failuresOf(bare(dir.path, { fetch: ["release", "go", "debian"], release: { platform: "plan9-amd64" } }))
    expect(failures).toEqual({
      path: "there is no nats-server on PATH",
      cache: `${join(dir.path, "cache")} has none`,
      release: `no digest is pinned for nats-server ${PINNED_RELEASE.version} on plan9-amd64, so it is not downloaded`,
      go: "there is no go on PATH",
      debian: "this is no Debian (there is no apt-get or dpkg-deb on PATH)",
    })
    expect(await readdir(join(dir.path, "cache"))).toEqual([])
  })
})

describe("findNatsServer downloads a release", () => {
  test("a real server from an archive whose digest is pinned is verified, cached and runs", async () => {
    await using dir = await tempDir()
    const binary = await serverBinary()
    const version = await readServerVersion(binary)
    const { files, sha256 } = await makeArchive(dir.path, version, (path) => copyFile(binary, path))
    await using site = await startSite(files)
    const lines: string[] = []
    const release = { release: { version, sha256: { [platformOf()]: sha256 } }, downloads: site.url }
    const options = bare(dir.path, { fetch: ["release"], release, onProgress: (line) => lines.push(line) })
    const found = await findNatsServer(options)
    expect(found).toEqual({ path: join(dir.path, "cache", version, "nats-server"), version, source: "release" })
    expect(lines).toEqual([`fetching nats-server ${version} from ${site.url}${Object.keys(files)[0]}`])
    expect(await readdir(join(dir.path, "cache"))).toEqual([version])
    expect(await readdir(join(dir.path, "cache", version))).toEqual(["nats-server"])
    await using server = await startNatsServer({ binary: found.path, storeDir: join(dir.path, "store") })
    expect(server.port).toBeGreaterThan(0)

    expect(await findNatsServer(options)).toMatchObject({ source: "cache" })
    expect(site.asked).toHaveLength(1)
  })

  test("an archive with another digest is not unpacked", async () => {
    await using dir = await tempDir()
    const { files, sha256 } = await makeArchive(dir.path, "2.14.5", (path) => writeProgram(path, "2.14.5"))
    await using site = await startSite(files)
    const pinned = "0".repeat(64)
    const release = { release: { version: "2.14.5", sha256: { [platformOf()]: pinned } }, downloads: site.url }
    const failures = await failuresOf(bare(dir.path, { fetch: ["release"], release }))
    expect(failures.release).toContain(sha256)
    expect(failures.release).toContain(`${pinned} is pinned: it was not unpacked`)
    expect(await readdir(join(dir.path, "cache"))).toEqual([])
  })

  test("a platform without a pinned digest downloads nothing", async () => {
    await using dir = await tempDir()
    await using site = await startSite({})
    const release = { release: { version: "2.14.5", sha256: {} }, downloads: site.url }
    expect((await failuresOf(bare(dir.path, { fetch: ["release"], release }))).release).toContain("no digest is pinned")
    expect(site.asked).toEqual([])
  })

  test.each([
    ["a file that is not there", {}, "HTTP 404"],
    ["a connection that breaks", { cutAfter: 100 }, "cannot download"],
  ])("%s leaves nothing behind and goes on to the next way", async (_what, behaviour, message) => {
    await using dir = await tempDir()
    const { files, sha256 } = await makeArchive(dir.path, "2.14.5", (path) => writeProgram(path, "2.14.5"))
    await using site = await startSite("cutAfter" in behaviour ? files : {}, behaviour)
    const release = { release: { version: "2.14.5", sha256: { [platformOf()]: sha256 } }, downloads: site.url }
    const failures = await failuresOf(bare(dir.path, { fetch: ["release", "go"], release }))
    expect(failures.release).toContain(message)
    expect(failures.go).toBeDefined()
    expect(await readdir(join(dir.path, "cache"))).toEqual([])
  })

  test("only the program comes out of an archive, and one without it fails", async () => {
    await using dir = await tempDir()
    const { files, sha256 } = await makeArchive(dir.path, "2.14.5", (path) => writeProgram(`${path}-else`, "2.14.5"))
    await using site = await startSite(files)
    const release = { release: { version: "2.14.5", sha256: { [platformOf()]: sha256 } }, downloads: site.url }
    expect((await failuresOf(bare(dir.path, { fetch: ["release"], release }))).release).toContain("holds no nats-server")
    expect(await readdir(join(dir.path, "cache"))).toEqual([])
  })

  test("the pinned digests are SHA-256 and cover 64-bit Linux", () => {
    for (const digest of Object.values(PINNED_RELEASE.sha256)) expect(digest).toMatch(/^[0-9a-f]{64}$/)
    expect(Object.keys(PINNED_RELEASE.sha256)).toEqual(expect.arrayContaining(["linux-amd64", "linux-arm64"]))
    expect(platformOf("linux", "x64")).toBe("linux-amd64")
    expect(platformOf("darwin", "arm64")).toBe("darwin-arm64")
  })

  test("of two processes one downloads and the other takes it from the cache", async () => {
    await using dir = await tempDir()
    const { files, sha256 } = await makeArchive(dir.path, "2.14.5", (path) => writeProgram(path, "2.14.5"))
    await using site = await startSite(files, { delayMs: 500 })
    const release = { release: { version: "2.14.5", sha256: { [platformOf()]: sha256 } }, downloads: site.url }
    const finders = [0, 1].map(() => runFinder(bare(dir.path, { fetch: ["release"], release })))
    const outputs = await Promise.all(finders.map(({ output }) => output))
    expect(outputs.map((output) => JSON.parse(output.split("\n").at(-1) ?? "").source).sort()).toEqual(["cache", "release"])
    expect(outputs.filter((output) => output.includes("waiting for another process"))).toHaveLength(1)
    expect(site.asked).toHaveLength(1)
  })

  test("the lock of a process that was killed while it downloaded is taken over", async () => {
    await using dir = await tempDir()
    const { files, sha256 } = await makeArchive(dir.path, "2.14.5", (path) => writeProgram(path, "2.14.5"))
    await using stuck = await startSite(files, { neverAnswers: true })
    await using site = await startSite(files)
    const pinned = { version: "2.14.5", sha256: { [platformOf()]: sha256 } }
    const { child } = runFinder(bare(dir.path, { fetch: ["release"], release: { release: pinned, downloads: stuck.url } }))
    await until(() => stuck.asked.length === 1, "the download to begin")
    child.kill("SIGKILL")
    await child.exited
    const release = { release: pinned, downloads: site.url }
    expect(await findNatsServer(bare(dir.path, { fetch: ["release"], release }))).toMatchObject({ source: "release" })
  })
})

describe("findNatsServer builds or unpacks", () => {
  test(
    "go install makes the pinned version, which runs",
    async () => {
      const go = findOnPath("go")
      if (!go) return void console.warn("SKIPPED: needs go: go install of the pinned server")
      await using dir = await tempDir()
      const lines: string[] = []
      // Its own build cache and modules stay where they are: only the server is new.
      const options = { fetch: ["go"] as const, env: process.env, onProgress: (line: string) => lines.push(line) }
      const found = await findNatsServer({
        ...bare(dir.path, options),
        env: { ...process.env, PATH: withoutServer(), FN_NATS_SERVER: undefined },
      }).catch((thrown: Error) => thrown)
      if (found instanceof Error) {
        if (/dial tcp|no such host|proxyconnect|i\/o timeout/.test(found.message))
          return void console.warn(`SKIPPED: needs internet: no Go modules from here: ${found.message}`)
        throw found
      }
      expect(found).toMatchObject({ version: PINNED_SERVER_VERSION, source: "go" })
      expect(lines).toHaveLength(1)
      await using server = await startNatsServer({ binary: found.path, storeDir: join(dir.path, "store") })
      expect(server.port).toBeGreaterThan(0)
    },
    SLOW_MS,
  )
})

/** PATH without the folders that hold a nats-server. */
function withoutServer(): string {
  return (process.env.PATH ?? "")
    .split(":")
    .filter((folder) => findOnPath("nats-server", folder) === undefined)
    .join(":")
}

/** findNatsServer in a process of its own. */
function runFinder(options: FindServerOptions): { child: Child; output: Promise<string> } {
  const module = new URL("../../dist/server/find.js", import.meta.url).href
  const script = `import { findNatsServer } from ${JSON.stringify(module)}
    const found = await findNatsServer({ ...${JSON.stringify(options)}, onProgress: console.log })
    console.log(JSON.stringify(found))`
  const child = spawnChild({
    command: process.execPath,
    args: ["--input-type=module", "-e", script],
    env: { PATH: process.env.PATH ?? "" },
  })
  let text = ""
  child.stdout?.on("data", (chunk: Buffer) => {
    text += chunk.toString()
  })
  const output = new Promise<string>((resolve) => child.stdout?.once("close", () => resolve(text.trim())))
  return { child, output }
}
