import type { IOType } from "node:child_process"
import type { FileGrant } from "../files/grant.js"
import type { SystemView } from "../files/system.js"
import type { Guarantee, Level } from "../guarantee.js"
import type { Limits } from "../limits.js"
import type { EgressDecision } from "../network/egress-proxy.js"
import type { Network } from "../network/network.js"

/** What to run, and what it must not be able to do. */
export interface LaunchOptions {
  readonly level: Level
  /** Absolute path of the program; in a sandbox, its path inside. */
  readonly command: string
  readonly args?: readonly string[]
  /** The whole environment, beside HOME, TMPDIR and PATH, which have defaults. Nothing of ours is inherited, and it shows on no command line. */
  readonly env?: Readonly<Record<string, string>>
  /** Default: in a sandbox `/tmp`, else a folder of the child's own that goes with it. */
  readonly cwd?: string
  /** Descriptors 0 and up, as `spawn` takes them; at most 9. Default: no stdin, pipes for stdout and stderr. No others reach the child. */
  readonly stdio?: readonly (IOType | number)[]
  readonly limits?: Limits
  /** Default: `none` in a sandbox. A `process` shares the network of the host, so that anything but `full` is refused there. */
  readonly network?: Network
  /** Files that a sandbox shows. A `process` sees those of the host anyway. */
  readonly files?: readonly FileGrant[]
  /** What of the host's system a sandbox shows. Default `none`. */
  readonly system?: SystemView
  /** Guarantees for which a soft grade will do. Default none: what is asked for is kept by the kernel, or refused. */
  readonly acceptSoft?: readonly Guarantee[]
  /** Shows in the names of control groups: letters, digits, `-` and `_` of it. */
  readonly name?: string
  /** Hears of every connection that a child with `egress` asks for. */
  readonly onEgress?: (decision: EgressDecision) => void
  /** Ends the start; of no effect afterwards. */
  readonly signal?: AbortSignal
  /** For the start, ms. Default 10 000. */
  readonly startTimeoutMs?: number
}
