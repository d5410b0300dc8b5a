/** From the mechanisms that work on a host to what it can promise at each level. */
import type { GradedGuarantee, Level, LevelGrades } from "./guarantee.js"
import type { MechanismName, Mechanisms } from "./probe/mechanism.js"

/** What {@link gradeLevels} says of guarantees that inherited limits keep; the plan of a launch acts on these words. */
export const KEPT_BY = {
  data: "RLIMIT_DATA",
  processes: "RLIMIT_NPROC",
  innerProcesses: "RLIMIT_NPROC in the sandbox",
  cpuTime: "RLIMIT_CPU",
} as const

const SAME_USER = "it runs as the user of its host, who may lift the limit"

/** The grades of both levels. `isRoot` is whether this process may give children users of their own. */
export function gradeLevels(mechanisms: Mechanisms, isRoot: boolean): Readonly<Record<Level, LevelGrades>> {
  return { process: gradeProcess(mechanisms, isRoot), sandbox: gradeSandbox(mechanisms, isRoot) }
}

function gradeProcess(mechanisms: Mechanisms, isRoot: boolean): LevelGrades {
  const ownUser = isRoot && mechanisms.users.available
  const grouped = (name: MechanismName): GradedGuarantee | undefined => {
    const group = byGroup(mechanisms, name)
    return group && !ownUser ? soft(group.mechanism, SAME_USER) : group
  }
  return {
    memory: grouped("cgroup-memory") ?? byDataLimit(mechanisms),
    pids:
      grouped("cgroup-pids") ??
      (ownUser && mechanisms["rlimit-nproc"].available ? hard(KEPT_BY.processes) : absent(mechanisms["cgroup-pids"].reason)),
    cpu: grouped("cgroup-cpu") ?? absent(mechanisms["cgroup-cpu"].reason),
    cpuTime: grouped("cgroup-usage") ?? byCpuTimeLimit(mechanisms),
    handles: byRlimits(mechanisms, !isRoot || ownUser),
    files: ownUser
      ? soft("own user", "it reads what every user of the host may read")
      : absent("it runs as the user of its host, in the file system of the host"),
    network: absent("it shares the network of the host"),
    syscalls: absent("only a sandbox has a filter"),
    user: ownUser
      ? hard("own user")
      : soft(
          "no new privileges",
          isRoot ? mechanisms.users.reason : "it runs as the user of its host, and may signal and read what that user may",
        ),
    kill: grouped("cgroup-kill") ?? soft("process group", "what calls setsid escapes"),
  }
}

function gradeSandbox(mechanisms: Mechanisms, isRoot: boolean): LevelGrades {
  const { bubblewrap, seccomp, users } = mechanisms
  const sandboxed = (mechanism: string): GradedGuarantee => (bubblewrap.available ? hard(mechanism) : absent(bubblewrap.reason))
  const ownUser = !isRoot || users.available
  return {
    memory: byGroup(mechanisms, "cgroup-memory") ?? byDataLimit(mechanisms),
    pids: byGroup(mechanisms, "cgroup-pids") ?? byProcessLimit(mechanisms, isRoot),
    cpu: byGroup(mechanisms, "cgroup-cpu") ?? absent(mechanisms["cgroup-cpu"].reason),
    cpuTime: byGroup(mechanisms, "cgroup-usage") ?? byCpuTimeLimit(mechanisms),
    handles: byRlimits(mechanisms, true),
    files: sandboxed("mount namespace"),
    network:
      bubblewrap.available && !seccomp.available
        ? soft("network namespace", `sockets that it does not cover, as AF_VSOCK, stay open: ${seccomp.reason}`)
        : sandboxed("network namespace and seccomp"),
    syscalls: bubblewrap.available && seccomp.available ? hard("seccomp") : absent(seccomp.reason),
    // As root, what a sandbox writes into a folder of the host belongs to root, setuid files included.
    user: ownUser ? sandboxed("process-id and user namespace") : absent(users.reason),
    kill: sandboxed("process-id namespace"),
  }
}

function byGroup(mechanisms: Mechanisms, name: MechanismName): GradedGuarantee | undefined {
  const { available, version } = mechanisms[name]
  return available ? hard(`cgroup v${version}`) : undefined
}

function byDataLimit(mechanisms: Mechanisms): GradedGuarantee {
  if (!mechanisms["rlimit-data"].available) return absent(mechanisms["cgroup-memory"].reason)
  return soft(KEPT_BY.data, `it counts each process by itself, and no shared memory; ${mechanisms["cgroup-memory"].reason}`)
}

function byProcessLimit(mechanisms: Mechanisms, isRoot: boolean): GradedGuarantee {
  const { "rlimit-nproc": nproc, users } = mechanisms
  if (!nproc.available || (isRoot && !users.available)) return absent(`${mechanisms["cgroup-pids"].reason}; ${nproc.reason}`)
  return hard(isRoot ? KEPT_BY.processes : KEPT_BY.innerProcesses)
}

function byCpuTimeLimit({ rlimits }: Mechanisms): GradedGuarantee {
  return rlimits.available ? soft(KEPT_BY.cpuTime, "it counts each process by itself, in whole seconds") : absent(rlimits.reason)
}

function byRlimits({ rlimits }: Mechanisms, lasting: boolean): GradedGuarantee {
  if (!rlimits.available) return absent(rlimits.reason)
  return lasting ? hard("rlimits") : soft("rlimits", "root may lift them")
}

function hard(mechanism: string): GradedGuarantee {
  return { grade: "hard", mechanism }
}

function soft(mechanism: string, reason: string): GradedGuarantee {
  return { grade: "soft", mechanism, reason }
}

function absent(reason: string): GradedGuarantee {
  return { grade: "absent", mechanism: "nothing", reason }
}
