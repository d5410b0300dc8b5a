/**
 * What can be promised about a child process, and how firmly.
 *
 * A guarantee is something a caller may rely on; a mechanism (probe/) is a means of the kernel to keep it. The grades of a host are computed
 * from the mechanisms that were seen working on it (grades.ts).
 */

/** Everything that can be promised. */
export const GUARANTEES = ["memory", "pids", "cpu", "cpuTime", "handles", "files", "network", "syscalls", "user", "kill"] as const

/**
 * - `memory`: no more than so many bytes, `/tmp` and `/dev/shm` included
 * - `pids`: no more than so many processes and threads
 * - `cpu`: no more than this share of the processors
 * - `cpuTime`: ended after so much processor time
 * - `handles`: bounded open files and file sizes, no core dumps
 * - `files`: sees only the files it was granted
 * - `network`: reaches only what it was granted
 * - `syscalls`: cannot call the parts of the kernel that programs do not need
 * - `user`: cannot signal, read or trace the processes of others
 * - `kill`: is ended with everything it started
 */
export type Guarantee = (typeof GUARANTEES)[number]

/** `hard`: kept by the kernel for the whole process tree. `soft`: helps against mistakes, not against intent. `absent`: nothing keeps it. */
export type Grade = "hard" | "soft" | "absent"

/** How firmly a guarantee is kept, and by what. */
export interface GradedGuarantee {
  readonly grade: Grade
  /** What keeps it, in a few words: `cgroup v1`, `RLIMIT_DATA`. */
  readonly mechanism: string
  /** Why it is not hard, in a sentence. */
  readonly reason?: string
}

/** `process`: a child with limits, in the file system of the host. `sandbox`: a child that sees nothing of the host. */
export type Level = "process" | "sandbox"

/** The grades of one level. */
export type LevelGrades = Readonly<Record<Guarantee, GradedGuarantee>>
