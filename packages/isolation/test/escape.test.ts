/** Children that try to get out of their sandbox, or at what is not theirs. */
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { findOnPath } from "@fn/process"
import { isAlive, until } from "@fn/testing"
import { afterAll, describe, expect, test } from "@jest/globals"
import { can, launchNode, launchShell, outcomeOf, runNode, runShell, testHost } from "./support/host.js"

const host = testHost()
const ready = can("escapes from a sandbox", "bwrap")
const folder = mkdtempSync(join(tmpdir(), "fn-escape-"))
chmodSync(folder, 0o755)
afterAll(() => rmSync(folder, { recursive: true }))

describe("PL-6: a sandbox shows nothing of the host", () => {
  test.each([
    "/etc/shadow",
    "/etc/passwd",
    "/root",
    "/home",
    "/var",
    "/sys",
    "/tmp/fn-escape",
    "/proc/kcore",
    "/dev/sda",
    "/dev/kvm",
    "/dev/vsock",
  ])("%s cannot be read", async (path) => {
    if (!ready) return
    const script = `try { const fs = require("fs"); console.log(fs.statSync(${JSON.stringify(path)}).isDirectory() ? fs.readdirSync(${JSON.stringify(path)}) : fs.readFileSync(${JSON.stringify(path)}).length) } catch (e) { console.log(e.code) }`
    expect((await runNode(host, script)).stdout.trim()).toMatch(/^(ENOENT|EACCES|EPERM)$/)
  })

  test("it has itself, its loopback, and no program of the host", async () => {
    if (!ready) return
    const script = `const { execFileSync } = require("child_process"); const fs = require("fs"); const out = {}
      for (const program of ["/bin/sh", "/usr/bin/env", "/usr/bin/bwrap", "/usr/bin/setpriv"]) { try { execFileSync(program, ["--version"]); out[program] = "ran" } catch (e) { out[program] = e.code } }
      out.root = fs.readdirSync("/").sort(); out.bin = fs.readdirSync("/usr/bin"); out.interfaces = Object.keys(require("os").networkInterfaces()); console.log(JSON.stringify(out))`
    const seen = JSON.parse((await runNode(host, script)).stdout)
    expect(seen).toMatchObject({ "/bin/sh": "ENOENT", "/usr/bin/env": "ENOENT", "/usr/bin/bwrap": "ENOENT", "/usr/bin/setpriv": "ENOENT" })
    expect(seen.root.filter((name: string) => !["dev", "proc", "run", "tmp", "usr", "lib", "lib64"].includes(name))).toEqual([])
    expect(seen.bin).toEqual(["node"])
    expect(seen.interfaces).toEqual(["lo"])
  })

  test("it sees no process but its own, and the number of another leads nowhere", async () => {
    if (!ready) return
    const script = `const fs = require("fs"); const out = { pids: fs.readdirSync("/proc").filter((name) => /^\\d+$/.test(name)).map(Number), ppid: process.ppid }
      try { process.kill(${process.pid}, 0); out.kill = "signalled" } catch (e) { out.kill = e.code }
      try { out.environ = fs.readFileSync("/proc/1/environ", "utf8") } catch (e) { out.environ = e.code }
      out.cmdline = fs.readFileSync("/proc/1/cmdline", "utf8"); console.log(JSON.stringify(out))`
    const { stdout } = await runNode(host, script, { env: { SECRET: "hush-hush" } })
    const seen = JSON.parse(stdout)
    expect(seen.pids).toEqual([1, 2])
    expect(seen.kill).toBe(process.pid <= 2 ? "EPERM" : "ESRCH")
    expect(seen.environ).not.toContain("hush-hush")
    expect(seen.cmdline).not.toContain("hush-hush")
  })
})

describe("PL-6: children cannot touch each other", () => {
  test.each(["process", "sandbox"] as const)("at level %s: no signal, no look at memory or environment, no trace", async (level) => {
    if (!can("children apart", "bwrap", "root")) return
    const victim = await launchShell(host, "sleep 60", { level, limits: {}, env: { SECRET: "of the victim" } })
    const pid = victim.pid
    const script = `for file in environ mem maps root/etc; do cat /proc/${pid}/$file >/dev/null 2>&1 && echo "read $file"; done
      ls /proc/${pid}/fd >/dev/null 2>&1 && echo "saw fd"; kill -0 ${pid} 2>/dev/null && echo signalled; kill -9 -1 2>/dev/null; kill -9 ${pid} ${process.pid} 2>/dev/null; exit 0`
    const attack = await runShell(host, script, { level, limits: {} })
    expect(attack.stdout).toBe("")
    expect(isAlive(pid)).toBe(true)
    await victim.close({ graceMs: 0 })
  })

  test("what one writes to its folders another does not find", async () => {
    if (!ready) return
    const first = await launchShell(host, "echo mine | tee /tmp/file /run/fn/file /dev/shm/file; read -r _", {
      stdio: ["pipe", "pipe", "pipe"],
    })
    await until(() => first.stdout?.readableLength, { name: "the first to have written" })
    const { stdout } = await runShell(host, "cat /tmp/file /run/fn/file /dev/shm/file 2>/dev/null; ls /tmp /run/fn /dev/shm")
    expect(stdout.split("\n").filter((line) => line !== "" && !line.endsWith(":"))).toEqual([])
    await first.close({ graceMs: 0 })
  })
})

describe("PL-6: without a network", () => {
  test("neither the host's loopback nor anybody else can be reached, but its own loopback can", async () => {
    if (!ready) return
    const server = createServer((socket) => socket.end("reached"))
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
    const { port } = server.address() as { port: number }
    const script = `const net = require("net"); const dns = require("dns").promises
      const dial = (options) => new Promise((resolve) => { const s = net.connect(options); s.on("connect", () => resolve("connected")); s.on("error", (e) => resolve(e.code)) })
      ;(async () => {
        const out = { host: await dial({ port: ${port}, host: "127.0.0.1" }), v6: await dial({ port: ${port}, host: "::1" }), gateway: await dial({ port: ${port}, host: "10.0.2.2" }),
          metadata: await dial({ port: 80, host: "169.254.169.254" }), public: await dial({ port: 443, host: "1.1.1.1" }), dns: await dns.lookup("example.com").then(() => "resolved", (e) => e.code) }
        const own = net.createServer((s) => s.end()); await new Promise((r) => own.listen(0, "127.0.0.1", r)); out.own = await dial({ port: own.address().port, host: "127.0.0.1" }); own.close()
        console.log(JSON.stringify(out)); process.exit()
      })()`
    try {
      expect(JSON.parse((await runNode(host, script)).stdout)).toEqual({
        host: "ECONNREFUSED",
        v6: expect.stringMatching(/^(ECONNREFUSED|ENETUNREACH|EADDRNOTAVAIL)$/),
        gateway: "ENETUNREACH",
        metadata: "ENETUNREACH",
        public: "ENETUNREACH",
        dns: expect.stringMatching(/^(EAI_AGAIN|ENOTFOUND)$/),
        own: "connected",
      })
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })

  test("an abstract socket of the host cannot be reached; with the full network it can, as can its loopback", async () => {
    if (!ready) return
    const name = `\0fn-escape-test-${process.pid}`
    const server = createServer((socket) => socket.end("reached"))
    await new Promise<void>((resolve) => server.listen(name, resolve))
    const script = `require("net").connect({ path: "\\0" + ${JSON.stringify(name.slice(1))} }).on("data", (d) => console.log(String(d))).on("error", (e) => console.log(e.code))`
    try {
      expect((await runNode(host, script)).stdout.trim()).toBe("ECONNREFUSED")
      expect((await runNode(host, script, { network: { kind: "full" } })).stdout.trim()).toBe("reached")
    } finally {
      await new Promise((resolve) => server.close(resolve))
    }
  })
})

/** Makes system calls by number and says which error each got; 0 where it succeeded. */
const CALLS = `import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
def call(name, number, *args):
    ctypes.set_errno(0)
    result = libc.syscall(ctypes.c_long(number), *[ctypes.c_long(a) for a in args])
    print(name, 0 if result != -1 else ctypes.get_errno())
`
const EPERM = 1
const ENOSYS = 38
const EAFNOSUPPORT = 97

describe("PL-6: the kernel's dangerous doors are shut", () => {
  /** The machine's own: a version manager's is not where a sandbox looks. */
  const python = findOnPath("python3", "/usr/bin") !== undefined
  if (!python) console.warn("SKIPPED: needs /usr/bin/python3: system calls in a sandbox")

  test("system calls are refused by the filter", async () => {
    if (!ready || !python) return
    const script = `${CALLS}
call("ptrace", 101, 0, 0, 0, 0)
call("mount", 165, 0, 0, 0, 0, 0)
call("unshare user", 272, 0x10000000)
call("setns", 308, -1, 0)
call("keyctl", 250, 0, 0)
call("bpf", 321, 0, 0, 0)
call("perf_event_open", 298, 0, 0, -1, -1, 0)
call("userfaultfd", 323, 0)
call("io_uring_setup", 425, 8, 0)
call("process_vm_readv", 310, ${process.pid}, 0, 0, 0, 0, 0)
call("open_by_handle_at", 304, -1, 0, 0)
call("pivot_root", 155, 0, 0)
call("reboot", 169, 0, 0, 0)
call("kexec_load", 246, 0, 0, 0, 0)
call("init_module", 175, 0, 0, 0)
call("clone new user", 56, 0x10000011, 0, 0, 0, 0)
call("clone3", 435, 0, 0)
call("AF_VSOCK", 41, 40, 1, 0)
call("AF_PACKET", 41, 17, 3, 0)
call("AF_ALG", 41, 38, 5, 0)
call("AF_NETLINK", 41, 16, 3, 0)
call("AF_INET", 41, 2, 1, 0)
call("AF_UNIX", 41, 1, 1, 0)`
    const { stdout, stderr } = await runShell(host, 'exec /usr/bin/python3 -I -S -c "$PROGRAM"', {
      env: { PROGRAM: script, PATH: "/usr/bin" },
    })
    const results = new Map(
      stdout
        .trim()
        .split("\n")
        .map((line) => [line.slice(0, line.lastIndexOf(" ")), Number(line.slice(line.lastIndexOf(" ")))]),
    )
    expect(stderr).toBe("")
    expect(Object.fromEntries(results)).toEqual({
      ...Object.fromEntries(
        [
          "ptrace",
          "mount",
          "unshare user",
          "setns",
          "keyctl",
          "bpf",
          "perf_event_open",
          "userfaultfd",
          "io_uring_setup",
          "process_vm_readv",
          "open_by_handle_at",
          "pivot_root",
          "reboot",
          "kexec_load",
          "init_module",
          "clone new user",
        ].map((name) => [name, EPERM]),
      ),
      clone3: ENOSYS,
      AF_VSOCK: EAFNOSUPPORT,
      AF_PACKET: EAFNOSUPPORT,
      AF_ALG: EAFNOSUPPORT,
      AF_NETLINK: 0,
      AF_INET: 0,
      AF_UNIX: 0,
    })
  })

  test("a call of the x32 ABI ends the program", async () => {
    if (!ready || !python) return
    const script = `${CALLS}\ncall("x32 getpid", 0x40000000 | 39)`
    const { stdout, end } = await runShell(host, 'exec /usr/bin/python3 -I -S -c "$PROGRAM"', {
      env: { PROGRAM: script, PATH: "/usr/bin" },
    })
    expect([stdout, end.exit.signal]).toEqual(["", "SIGSYS"])
  })

  test("no mount, no new namespace, no other root, no other user", async () => {
    if (!ready) return
    const script = `mount -t tmpfs tmpfs /tmp 2>/dev/null && echo mounted; umount /tmp 2>/dev/null && echo unmounted; unshare -r true 2>/dev/null && echo unshared
      chroot /usr true 2>/dev/null && echo chrooted; mknod /tmp/disk b 8 0 2>/dev/null && echo node; setpriv --reuid 0 true 2>/dev/null && echo root; id -u`
    expect((await runShell(host, script)).stdout).toBe("65534\n")
  })

  test("a file with the setuid bit belongs to nobody on the host, and gives nothing inside", async () => {
    if (!can("setuid files", "bwrap", "root")) return
    const data = mkdtempSync(join(folder, "data-"))
    chmodSync(data, 0o1777)
    const script = "cp /usr/bin/id /data/id && chmod 6755 /data/id && /data/id -u"
    const { stdout } = await runShell(host, script, { files: [{ path: data, at: "/data", writable: true }] })
    expect(stdout).toBe("65534\n")
    const { uid, gid, mode } = statSync(join(data, "id"))
    expect(uid).toBeGreaterThanOrEqual(1_900_000_000)
    expect(gid).toBe(uid)
    expect(mode & 0o4000).toBe(0o4000)
  })

  test("a program of the host with the setuid bit gives nothing", async () => {
    if (!ready) return
    const { stdout } = await runShell(host, "grep NoNewPrivs /proc/self/status; grep CapBnd /proc/self/status")
    expect(stdout.replaceAll(/\s+/g, " ").trim()).toBe("NoNewPrivs: 1 CapBnd: 0000000000000000")
  })
})

describe("PL-6: another level is no way around", () => {
  test("a process cannot read what only root may, nor write where others run from", async () => {
    if (!can("a process of its own user", "root")) return
    const file = join(folder, "secret")
    writeFileSync(file, "hush", { mode: 0o600 })
    const script = `cat ${file} /etc/shadow 2>/dev/null; for d in / /usr/bin /etc ${folder}; do (echo x > $d/planted) 2>/dev/null && echo "planted in $d"; done; exit 0`
    const { stdout, end } = await runShell(host, script, { level: "process", limits: {} })
    expect([stdout, end.exit.code]).toEqual(["", 0])
    expect(readFileSync(file, "utf8")).toBe("hush")
  })

  test("a process may not read the environment of its host", async () => {
    if (!can("the host's environment", "root")) return
    const { stdout } = await runShell(host, `cat /proc/${process.pid}/environ /proc/$PPID/environ 2>/dev/null | wc -c`, {
      level: "process",
      limits: {},
    })
    expect(stdout.trim()).toBe("0")
  })

  test("a child in a sandbox keeps its host's files out of reach even through links of its own", async () => {
    if (!ready) return
    const child = await launchNode(
      host,
      `const fs = require("fs"); fs.symlinkSync("/etc/shadow", "/tmp/link"); try { fs.readFileSync("/tmp/link") } catch (e) { console.log(e.code) }`,
    )
    expect((await outcomeOf(child)).stdout.trim()).toBe("ENOENT")
  })
})
