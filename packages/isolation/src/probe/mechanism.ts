/** The means by which guarantees are kept, each of which is tried before it is believed. */
export const MECHANISMS = [
  "setpriv",
  "rlimits",
  "users",
  "user-namespaces",
  "bubblewrap",
  "seccomp",
  "cgroup-memory",
  "cgroup-pids",
  "cgroup-cpu",
  "cgroup-usage",
  "cgroup-kill",
  "rlimit-data",
  "rlimit-nproc",
] as const

/** See {@link MECHANISMS}. */
export type MechanismName = (typeof MECHANISMS)[number]

/** What a trial of a mechanism showed. */
export interface Mechanism {
  readonly available: boolean
  /** What was seen, or why it cannot be used; a sentence. */
  readonly reason: string
  /** `v1` or `v2`, of control groups. */
  readonly version?: 1 | 2
}

/** All of them. */
export type Mechanisms = Readonly<Record<MechanismName, Mechanism>>
