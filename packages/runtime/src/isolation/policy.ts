/** What an operator lets functions ask for, and what they get when they ask for nothing. docs/isolation.md#policies */
import { FnError } from "@fn/core"
import { GUARANTEES, type Guarantee, type IsolationOptions } from "@fn/isolation"

/** How a host isolates functions. */
export interface IsolationSettings extends IsolationOptions {
  /**
   * `strict`: every function runs in a sandbox, with limits, and asks for exceptions in vain unless they are allowed below. `dev`: functions run
   * as processes of the host's own user unless they ask for more, and soft limits will do; for one's own functions on one's own machine.
   * Default `dev`: whoever embeds this package chooses.
   */
  readonly policy?: "strict" | "dev"
  /** Under `strict`: functions may ask for level `process`, in the file system and network of the host. Default false. */
  readonly allowProcess?: boolean
  /** Under `strict`: functions may ask for `network: full`, NATS and everything else of this host included. Default false. */
  readonly allowFullNetwork?: boolean
  /** Under `strict`: folders of the host of which functions may be shown parts. Default none. */
  readonly allowFiles?: readonly string[]
  /** Under `strict`: guarantees for which a soft grade will do. Default none. */
  readonly acceptSoft?: readonly Guarantee[]
}

/** Settings with what they leave out. */
export interface IsolationPolicy {
  readonly name: "strict" | "dev"
  readonly allowProcess: boolean
  readonly allowFullNetwork: boolean
  readonly allowFiles: readonly string[]
  readonly acceptSoft: readonly Guarantee[]
}

const DEV: IsolationPolicy = { name: "dev", allowProcess: true, allowFullNetwork: true, allowFiles: ["/"], acceptSoft: GUARANTEES }

/** @throws {FnError} INVALID_CONFIG for a guarantee there is not, or a folder that is not absolute */
export function policyOf(settings: IsolationSettings = {}): IsolationPolicy {
  const unknown = (settings.acceptSoft ?? []).find((name) => !GUARANTEES.includes(name))
  if (unknown !== undefined) throw FnError.of("INVALID_CONFIG", `there is no guarantee ${unknown}; there are ${GUARANTEES.join(", ")}`)
  const relative = (settings.allowFiles ?? []).find((folder) => !folder.startsWith("/"))
  if (relative !== undefined) throw FnError.of("INVALID_CONFIG", `the folder ${relative} is not absolute`)
  if (settings.policy !== "strict") return DEV
  return {
    name: "strict",
    allowProcess: settings.allowProcess ?? false,
    allowFullNetwork: settings.allowFullNetwork ?? false,
    allowFiles: settings.allowFiles ?? [],
    acceptSoft: settings.acceptSoft ?? [],
  }
}
