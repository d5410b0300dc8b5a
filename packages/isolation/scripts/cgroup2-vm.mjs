/**
 * `pnpm --filter @fn/isolation test:cgroup2`: tries control groups of version 2 in a small virtual machine, on hosts that have the controllers
 * on version 1. Emulated, so that it needs no rights: about a minute and a half. Needs qemu-system-x86_64, busybox (static), cpio, bwrap,
 * setpriv, a Debian kernel package (fetched by apt-get download), and a build.
 */
import { execFileSync, spawn } from "node:child_process"
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { build } from "esbuild"

const PROGRAMS = ["dash", "setpriv", "prlimit", "unshare", "bwrap", "setarch", "setsid", "node"]
const TIMEOUT_MS = 600_000

/** In the archive the kernel unpacks nothing can be pivoted, which bubblewrap has to: so everything moves to a file system in memory first. */
const INIT = `#!/usr/bin/busybox sh
export PATH=/usr/bin
mkdir /new; mount -t tmpfs -o size=1g,mode=755 root /new
cp -a /usr /bin /lib /lib64 /etc /fn /start /new/; rm -f /usr/bin/node
cd /new; mkdir proc sys dev tmp run root
exec switch_root /new /start
`
const START = `#!/bin/sh
export PATH=/usr/bin
mount -t proc proc /proc; mount -t sysfs sys /sys; mount -t devtmpfs dev /dev; mkdir -p /dev/pts /dev/shm
mount -t devpts pts /dev/pts; mount -t tmpfs tmp /tmp; chmod 1777 /tmp; ip link set lo up
mount -t cgroup2 cgroup2 /sys/fs/cgroup
node /fn/guest.mjs root; echo "result root $?"
# As a service manager starts a service that may have groups of its own.
echo "+memory +pids +cpu" > /sys/fs/cgroup/cgroup.subtree_control; mkdir /sys/fs/cgroup/service
sh -c 'echo $$ > /sys/fs/cgroup/service/cgroup.procs; exec node /fn/guest.mjs service'; echo "result service $?"
poweroff -f
`

const folder = mkdtempSync(join(tmpdir(), "fn-cgroup2-"))
try {
  const kernel = fetchKernel()
  const disk = await makeDisk()
  const output = await boot(kernel, disk)
  const passed = ["root", "service"].every((where) => output.includes(`result ${where} 0\r`))
  process.stdout.write(passed ? "\nversion 2 keeps what it promises\n" : "\nFAILED\n")
  process.exitCode = passed ? 0 : 1
} finally {
  rmSync(folder, { recursive: true, force: true })
}

function fetchKernel() {
  const names = execFileSync("apt-cache", ["search", "--names-only", "^linux-image-6.*-cloud-amd64$"], { encoding: "utf8" })
  const name = names.trim().split("\n").at(-1)?.split(" ")[0]
  if (!name) throw new Error("apt knows of no kernel for virtual machines: run apt-get update")
  // apt fetches as a user of its own, who must be able to write here.
  chmodSync(folder, 0o777)
  execFileSync("apt-get", ["download", name], { cwd: folder, stdio: "ignore" })
  const archive = readdirSync(folder).find((file) => file.endsWith(".deb"))
  execFileSync("dpkg-deb", ["-x", archive, "kernel"], { cwd: folder })
  const boot = join(folder, "kernel", "boot")
  return join(
    boot,
    readdirSync(boot).find((file) => file.startsWith("vmlinuz-")),
  )
}

async function makeDisk() {
  const root = join(folder, "root")
  for (const path of ["usr/bin", "usr/lib", "usr/lib64", "etc", "fn", "proc", "sys", "dev"])
    mkdirSync(join(root, path), { recursive: true })
  for (const name of ["bin", "lib", "lib64"]) symlinkSync(`usr/${name}`, join(root, name))
  const busybox = which("busybox")
  cpSync(busybox, join(root, "usr/bin/busybox"))
  for (const applet of execFileSync(busybox, ["--list"], { encoding: "utf8" }).trim().split("\n")) {
    if (!PROGRAMS.includes(applet) && applet !== "sh" && applet !== "busybox") symlinkSync("busybox", join(root, "usr/bin", applet))
  }
  for (const program of PROGRAMS) copyProgram(program, root)
  symlinkSync("dash", join(root, "usr/bin/sh"))
  const entry = join(import.meta.dirname, "cgroup2-guest.mjs")
  await build({
    entryPoints: [entry],
    bundle: true,
    platform: "node",
    format: "esm",
    outfile: join(root, "fn/guest.mjs"),
    logLevel: "error",
  })
  writeFileSync(join(root, "init"), INIT, { mode: 0o755 })
  writeFileSync(join(root, "start"), START, { mode: 0o755 })
  const disk = join(folder, "disk")
  execFileSync("sh", ["-c", `find . | cpio -o -H newc --quiet > ${disk}`], { cwd: root })
  return disk
}

/** A program with its libraries, at the same places. */
function copyProgram(program, root) {
  const path = program === "node" ? realpathSync(process.execPath) : which(program)
  cpSync(path, join(root, "usr/bin", program), { dereference: true })
  for (const [library] of execFileSync("ldd", [path], { encoding: "utf8" }).matchAll(/\/\S+(?= \(0x)/g)) {
    const target = join(root, library)
    if (existsSync(target)) continue
    mkdirSync(dirname(target), { recursive: true })
    cpSync(library, target, { dereference: true })
  }
}

async function boot(kernel, disk) {
  const machine = ["-accel", "tcg", "-cpu", "max", "-m", "2048", "-nographic", "-no-reboot", "-nic", "none"]
  const args = [...machine, "-kernel", kernel, "-initrd", disk, "-append", "console=ttyS0 quiet loglevel=0 panic=-1"]
  const qemu = spawn("qemu-system-x86_64", args, { stdio: ["ignore", "pipe", "inherit"] })
  const timer = setTimeout(() => qemu.kill("SIGKILL"), TIMEOUT_MS)
  let output = ""
  for await (const chunk of qemu.stdout) {
    process.stdout.write(chunk)
    output += chunk
  }
  clearTimeout(timer)
  return output
}

function which(program) {
  return execFileSync("sh", ["-c", `command -v ${program}`], { encoding: "utf8" }).trim()
}
