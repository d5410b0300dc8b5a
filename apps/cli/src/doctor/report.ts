/** What `fn doctor` finds out. `--json` prints it as it is: fields are only ever added. */
import type { FnErrorData } from "@fn/core"
import type { IsolationReport, Level } from "@fn/runtime"

/** Something that is missing, and what to do about it. */
export interface Lack {
  readonly what: string
  /** A command where there is one, else a sentence. */
  readonly remedy: string
}

/** What this machine can hold functions to. */
export interface IsolationFinding extends IsolationReport {
  /** By level, what a function that asks for memory and processes alone would miss; nothing: it is enforced. */
  readonly lacks: Readonly<Record<Level, readonly Lack[]>>
  /** Why a host with policy strict serves no function here; absent: it does. */
  readonly strictProblem?: FnErrorData
}

/** What a language needs, and what of it is here. */
export interface LanguageFinding {
  readonly language: string
  /** Programs that were found, with their versions. */
  readonly found: Readonly<Record<string, string>>
  /** What `fn deploy` needs and does not find; nothing: it builds here. */
  readonly lacks: readonly Lack[]
  /** What else is good to know. */
  readonly note: string
  /** Where to get what hosts need and `fn deploy` does not. */
  readonly forHosts?: string
}

/** The NATS that flags and environment name. */
export interface NatsFinding {
  readonly url: string
  readonly version?: string
  readonly jetstream?: boolean
  readonly setUp?: boolean
  /** Ids of the hosts that answer. */
  readonly hosts?: readonly string[]
  /** The first thing that is wrong. */
  readonly problem?: FnErrorData & { readonly remedy: string }
}

/** Something that `--require` names. */
export interface Requirement {
  readonly name: string
  readonly met: boolean
  readonly why?: string
}

/** All of it. */
export interface DoctorReport {
  /** Whether everything that was required is there. */
  readonly ok: boolean
  readonly fn: { readonly version: string; readonly node: string; readonly system: string; readonly user: string }
  readonly isolation: IsolationFinding
  readonly languages: readonly LanguageFinding[]
  /** What `fn dev` would start; absent: it would fetch one first. */
  readonly natsServer?: { readonly path: string; readonly version: string }
  /** Absent where no NATS is named. */
  readonly nats?: NatsFinding
  readonly required: readonly Requirement[]
}
