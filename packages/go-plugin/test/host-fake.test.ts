import { createHash } from "node:crypto"
import { chmodSync, existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "@jest/globals"
import { launchPlugin } from "../src/index.js"
import { createCertificate } from "../src/tls/certificate.js"
import { handshake, kvOf, kvPluginFile, launch, rejectionOf, script, tempDir } from "./support/kv.js"
import { isAlive } from "./support/until.js"

/** A script that starts the TypeScript plugin and rewrites its line. */
function rewritten(edit: string): { command: string } {
  return { command: script(`"${process.execPath}" "${kvPluginFile}" | sed -u '1${edit}'`) }
}

describe("R-PL-3: handshakes as shell scripts give them", () => {
  test.each([
    ["5 fields", "s/|$//"],
    ["6 fields", "s/x/x/"],
    ["7 fields", "s/$/|false/"],
    ["8 fields", "s/$/|false|y|z/"],
    ["a certificate that nobody asked for", "s/$/MIIBwjCCAWqgAwIBAgIQYtmkalyyb77uiBYd04uaEAYDVQQKDAlIYXNo/"],
  ])("H7 a line with %s is accepted", async (_name, edit) => {
    const plugin = await launch({ ...rewritten(edit), autoMtls: false })
    expect(await kvOf(plugin).run("version")).toBe("3")
  })

  test("H11 a line in three writes, ended by CR LF, is accepted", async () => {
    const slowly = `while IFS= read -r line; do
      a=$(printf %s "$line" | cut -c1-3); b=$(printf %s "$line" | cut -c4-12); c=$(printf %s "$line" | cut -c13-)
      printf %s "$a"; sleep 0.02; printf %s "$b"; sleep 0.02; printf '%s\\r\\n' "$c"
    done`
    const command = script(`"${process.execPath}" "${kvPluginFile}" | ${slowly}`)
    expect(await kvOf(await launch({ command, autoMtls: false })).run("version")).toBe("3")
  })

  test("H21 a certificate with base64 padding is accepted", async () => {
    expect(await kvOf(await launch(rewritten("s/$/=/"))).run("version")).toBe("3")
  })

  test("H19 only the announced certificate is trusted", async () => {
    const stranger = createCertificate().der.toString("base64").replaceAll("/", "\\/")
    const error = await rejectionOf(launchPlugin({ ...rewritten(`s/|[^|]*$/|${stranger}/`), handshake }))
    expect(error.reason).toBe("BAD_HANDSHAKE")
    expect(error.message).toMatch(/certificate/)
  })

  test("H20 a plugin without certificate is refused when AutoMTLS is on: no downgrade", async () => {
    const error = await rejectionOf(launchPlugin({ ...rewritten("s/|[^|]*$/|/"), handshake }))
    expect(error).toMatchObject({ reason: "BAD_HANDSHAKE", code: "failed_precondition" })
    expect(error.message).toContain("no certificate")
  })

  test("a certificate field that is no certificate is refused", async () => {
    const error = await rejectionOf(launchPlugin({ ...rewritten(`s/|[^|]*$/|${"QUJD".repeat(30)}/`), handshake }))
    expect(error.reason).toBe("BAD_HANDSHAKE")
    expect(error.message).toContain("cannot be read")
  })

  const announcing = (line: string) => ({
    command: script(`echo $$ > "$PID_FILE"; printf '${line}\\n'; echo told on stderr >&2; exec sleep 60`),
  })
  test.each([
    ["H8 four fields: netrpc", "1|1|tcp|:1234", "PLUGIN_PROTOCOL", "netrpc"],
    ["H8 netrpc by name", "1|1|tcp|:1234|netrpc", "PLUGIN_PROTOCOL", "netrpc"],
    ["H9 garbage", "lolinvalid", "BAD_HANDSHAKE", "lolinvalid"],
    ["H10 an empty line", "", "BAD_HANDSHAKE", "empty line"],
    ["H10 blanks inside", "1 | 1 | tcp | :1234 | grpc", "BAD_HANDSHAKE", "core protocol version"],
    ["H10 core protocol 2", "2|1|tcp|:1234|grpc", "BAD_HANDSHAKE", "core protocol 2"],
    ["H10 a version that is no number", "1|one|tcp|:1234|grpc", "BAD_HANDSHAKE", "second field"],
    ["H10 an unknown network", "1|1|pipe|x|grpc", "BAD_HANDSHAKE", "network"],
    ["a socket path that is relative", "1|1|unix|x|grpc", "BAD_HANDSHAKE", "address"],
    ["log output before the line", "starting up…", "BAD_HANDSHAKE", "no handshake"],
    ["an address where nobody listens", "1|1|unix|/nonexistent/socket|grpc", "BAD_HANDSHAKE", "does not answer"],
  ])("%s is refused, and the process is gone", async (_name, line, reason, said) => {
    const pidFile = join(tempDir(), "pid")
    const error = await rejectionOf(launchPlugin({ ...announcing(line), handshake, autoMtls: false, env: { PID_FILE: pidFile } }))
    expect(error).toMatchObject({ reason, code: "failed_precondition" })
    expect(error.message).toContain(said)
    expect(isAlive(Number(readFileSync(pidFile, "utf8")))).toBe(false)
  })

  test("H9 the error of a bad handshake names the program and quotes its stderr", async () => {
    const command = script("echo broken library >&2; echo hello; exec sleep 60")
    const { message } = await rejectionOf(launchPlugin({ command, handshake }))
    expect(message).toContain(`${command} (mode 755`)
    expect(message).toContain('"hello"')
  })

  test("a flood without a line break is refused as soon as it is too long", async () => {
    const error = await rejectionOf(launchPlugin({ command: script("exec cat /dev/zero"), handshake }))
    expect(error.reason).toBe("BAD_HANDSHAKE")
  })

  test("H12 a line that never ends times out", async () => {
    const pidFile = join(tempDir(), "pid")
    const command = script(`echo $$ > "${pidFile}"; echo still loading >&2; printf '1|1|tcp|:1234|grpc|'; exec sleep 60`)
    const begun = performance.now()
    const error = await rejectionOf(launchPlugin({ command, handshake, startTimeoutMs: 300 }))
    expect(error).toMatchObject({ reason: "PLUGIN_START_TIMEOUT", code: "unavailable" })
    expect(error.message).toContain("still loading")
    expect(performance.now() - begun).toBeLessThan(1_500)
    expect(isAlive(Number(readFileSync(pidFile, "utf8")))).toBe(false)
  })

  test("a plugin that announces itself but never answers times out", async () => {
    const listener = `require("net").createServer(() => {}).listen(process.argv[1], () => console.log("1|1|unix|" + process.argv[1] + "|grpc|"))`
    const args = ["-e", listener, join(tempDir(), "silent")]
    const error = await rejectionOf(launchPlugin({ command: process.execPath, args, handshake, autoMtls: false, startTimeoutMs: 1_000 }))
    expect(error.reason).toBe("PLUGIN_START_TIMEOUT")
  })

  test.each([
    ["exit 0", "exit 0", { exitCode: 0, signal: null }],
    ["exit 3", "echo why >&2; exit 3", { exitCode: 3, signal: null }],
    ["SIGKILL", "kill -9 $$", { exitCode: null, signal: "SIGKILL" }],
    ["an unfinished line", "printf '1|1|'; exit 4", { exitCode: 4, signal: null }],
  ])("H13 a plugin that ends before its line with %s is PLUGIN_EXITED", async (_name, body, details) => {
    const error = await rejectionOf(launchPlugin({ command: script(body), handshake }))
    expect(error).toMatchObject({ reason: "PLUGIN_EXITED", code: "unavailable", details })
    if (body.includes("why")) expect(error.message).toContain("why")
  })

  test("a plugin that ends right after its line is PLUGIN_EXITED", async () => {
    const command = script("echo '1|1|unix|/nonexistent/socket|grpc|'; echo last words >&2; exit 5")
    const error = await rejectionOf(launchPlugin({ command, handshake, autoMtls: false }))
    expect(error).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 5 } })
    expect(error.message).toContain("last words")
  })

  test("the caller's signal ends a start", async () => {
    const aborting = new AbortController()
    const pending = rejectionOf(launchPlugin({ command: script("exec sleep 60"), handshake, signal: aborting.signal }))
    aborting.abort()
    expect(await pending).toMatchObject({ reason: "CANCELLED" })
    expect(await rejectionOf(launchPlugin({ command: "/bin/true", handshake, signal: aborting.signal }))).toMatchObject({
      code: "cancelled",
    })
  })
})

describe("H14 what is no program is refused before anything runs", () => {
  function file(content: string | Buffer, mode = 0o755): string {
    const path = join(tempDir(), "program")
    writeFileSync(path, content)
    chmodSync(path, mode)
    return path
  }
  const marker = join(tempDir(), "marker")
  const elf = Buffer.alloc(64)
  elf.write("\x7fELF\x02\x01\x01", "latin1")
  elf.writeUInt16LE(process.arch === "arm64" ? 62 : 183, 18)

  test.each([
    ["a missing file", "/nonexistent/plugin", "does not exist"],
    ["a name that is not on PATH", "no-such-plugin-anywhere", "PATH"],
    ["a file without executable bit", "/etc/passwd", "executable bit"],
    ["a folder", "/etc", "not a file"],
    ["an empty file", () => file(""), "empty"],
    ["text that the C library would hand to sh", () => file(`touch ${marker}\n`), "neither a program nor a script"],
    ["a Windows program", () => file("MZ and more"), "Windows"],
    ["a macOS program", () => file(Buffer.from("cffaedfe0c000001", "hex")), "macOS"],
    ["a program for another processor", () => file(elf), "ELF for"],
    ["a script whose interpreter is missing", () => file("#!/nonexistent/interpreter\n"), "cannot be run"],
    ["a damaged program", () => file(Buffer.concat([readFileSync(process.execPath).subarray(0, 30), Buffer.alloc(100)])), "damaged"],
    ["the first kilobyte of a program, cut inside its headers", () => file(readFileSync(process.execPath).subarray(0, 100)), "damaged"],
  ])("%s", async (_name, path, said) => {
    const error = await rejectionOf(launchPlugin({ command: typeof path === "string" ? path : path(), handshake }))
    expect(error).toMatchObject({ reason: "PLUGIN_NOT_EXECUTABLE", code: "failed_precondition" })
    expect(error.message).toContain(said)
    expect(existsSync(marker)).toBe(false)
  })

  test("a command line that cannot be, and a folder that is not there, are told as such", async () => {
    const nul = await rejectionOf(launchPlugin({ command: "/bin/true", args: ["a\0b"], handshake }))
    expect(nul).toMatchObject({ reason: "PLUGIN_NOT_EXECUTABLE" })
    const noFolder = await rejectionOf(launchPlugin({ command: "/bin/true", cwd: "/nonexistent", handshake }))
    expect(noFolder).toMatchObject({ reason: "INVALID_REQUEST" })
  })

  test("a relative command starts from cwd", async () => {
    const cwd = tempDir()
    mkdirSync(join(cwd, "bin"))
    writeFileSync(join(cwd, "bin", "fake"), "#!/bin/sh\npwd >&2; exit 9\n", { mode: 0o755 })
    const error = await rejectionOf(launchPlugin({ command: "./bin/fake", cwd, handshake }))
    expect(error).toMatchObject({ reason: "PLUGIN_EXITED", details: { exitCode: 9 } })
    expect(error.message).toContain(cwd)
  })
})

describe("H43 R-PL-5: checksums of several files", () => {
  const digest = (path: string): string => createHash("sha256").update(readFileSync(path)).digest("hex")

  test("one that does not match launches nothing; all matching ones launch", async () => {
    const marker = join(tempDir(), "marker")
    const command = script(`touch "${marker}"; exec "${process.execPath}" "${kvPluginFile}"`)
    const good = [
      { path: command, sha256: digest(command) },
      { path: kvPluginFile, sha256: `sha256:${digest(kvPluginFile)}` },
    ]
    const bad = { path: process.execPath, sha256: "0".repeat(64) }
    expect(await rejectionOf(launchPlugin({ command, handshake, checksums: [...good, bad] }))).toMatchObject({
      reason: "CHECKSUM_MISMATCH",
    })
    const missing = { path: "/nonexistent/file", sha256: "0".repeat(64) }
    expect(await rejectionOf(launchPlugin({ command, handshake, checksums: [missing] }))).toMatchObject({ reason: "CHECKSUM_MISMATCH" })
    const malformed = { path: command, sha256: "beef" }
    expect(await rejectionOf(launchPlugin({ command, handshake, checksums: [malformed] }))).toMatchObject({ code: "invalid_argument" })
    expect(existsSync(marker)).toBe(false)
    await launch({ command, checksums: good })
    expect(existsSync(marker)).toBe(true)
  })
})
