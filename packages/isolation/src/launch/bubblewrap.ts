/** The command line of bubblewrap for one sandbox. https://github.com/containers/bubblewrap */
import { FnError } from "@fn/core"
import type { FileGrant } from "../files/grant.js"
import { type SystemView, systemArguments } from "../files/system.js"
import type { Network } from "../network/network.js"

/** The folder of sockets that the child shares with its host, inside. */
export const SHARED_FOLDER = "/run/fn"
const SHARED_BYTES = 1024 * 1024
/** Nobody: in its own user namespace, so that no number of the host is visible inside. */
const INNER_ID = "65534"

/** What a sandbox consists of. */
export interface SandboxPlan {
  readonly system: SystemView
  readonly files: readonly FileGrant[]
  readonly network: Network
  /** Socket of the egress proxy on the host. */
  readonly egressSocket?: string
  readonly env: Readonly<Record<string, string>>
  readonly cwd: string
  readonly tmpBytes: number
  readonly seccompFd?: number
  readonly statusFd: number
}

/** The options, each an argument. They go through a descriptor: on the command line, whoever lists processes could read the environment. */
export function bubblewrapOptions(plan: SandboxPlan): string[] {
  const { network, tmpBytes } = plan
  return [
    // Everything but the network, which may be shared.
    ...["--unshare-user", "--unshare-ipc", "--unshare-pid", "--unshare-uts", "--unshare-cgroup-try"],
    ...(network.kind === "full" ? [] : ["--unshare-net"]),
    ...["--disable-userns", "--cap-drop", "ALL", "--uid", INNER_ID, "--gid", INNER_ID, "--hostname", "fn"],
    ...["--die-with-parent", "--new-session", "--clearenv"],
    ...systemArguments(plan.system, network.kind),
    ...["--proc", "/proc", "--dev", "/dev"],
    // The /dev that bwrap makes is in memory and without bounds: shared memory gets some, the rest becomes read-only.
    ...["--size", String(tmpBytes), "--tmpfs", "/dev/shm", "--remount-ro", "/dev"],
    ...["--size", String(tmpBytes), "--tmpfs", "/tmp"],
    ...["--size", String(SHARED_BYTES), "--tmpfs", SHARED_FOLDER],
    ...plan.files.flatMap(({ path, at, writable }) => [writable ? "--bind" : "--ro-bind", path, at ?? path]),
    ...(plan.egressSocket === undefined ? [] : ["--ro-bind", plan.egressSocket, `${SHARED_FOLDER}/egress.sock`]),
    ...["--chdir", plan.cwd],
    // Last, because every mount point has to be made before.
    ...["--remount-ro", "/"],
    ...Object.entries(plan.env).flatMap(([name, value]) => ["--setenv", name, value]),
    ...(plan.seccompFd === undefined ? [] : ["--seccomp", String(plan.seccompFd)]),
    ...["--json-status-fd", String(plan.statusFd)],
  ]
}

/** The options as bwrap reads them from a descriptor. @throws {FnError} INVALID_REQUEST for a NUL, behind which another option could hide */
export function encodeOptions(options: readonly string[]): Buffer {
  const bad = options.find((option) => option.includes("\0"))
  if (bad !== undefined) throw FnError.of("INVALID_REQUEST", `${JSON.stringify(bad.slice(0, 100))} holds a NUL`)
  return Buffer.from(options.map((option) => `${option}\0`).join(""))
}

/** What bwrap tells on its status descriptor, as far as it has come. */
export interface SandboxStatus {
  /** The first process of the sandbox, as the host numbers it. */
  readonly childPid?: number
  /** Identity of the sandbox's mount namespace: tells it from a later process of the same number. */
  readonly mountNamespace?: number
  /** Exit code of the command; absent when it was never run. */
  readonly exitCode?: number
}

/** Reads the JSON documents of the status descriptor, one a line. */
export function parseStatus(text: string): SandboxStatus {
  let status: SandboxStatus = {}
  for (const line of text.split("\n").slice(0, -1)) {
    const document = JSON.parse(line) as Record<string, number | undefined>
    const { "child-pid": childPid, "mnt-namespace": mountNamespace, "exit-code": exitCode } = document
    status = {
      ...status,
      ...(childPid === undefined ? {} : { childPid }),
      ...(mountNamespace === undefined ? {} : { mountNamespace }),
      ...(exitCode === undefined ? {} : { exitCode }),
    }
  }
  return status
}
