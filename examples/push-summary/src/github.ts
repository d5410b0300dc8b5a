/** The parts of GitHub's `push` payload that are summarised. https://docs.github.com/webhooks/webhook-events-and-payloads#push */

/** One commit of a push. */
export interface Commit {
  readonly id: string
  readonly message: string
  readonly timestamp: string
  readonly url: string
  readonly author: { readonly name: string; readonly username?: string }
  readonly added: readonly string[]
  readonly removed: readonly string[]
  readonly modified: readonly string[]
}

/** A push of commits, or the creation or deletion of a branch or tag. */
export interface Push {
  /** `refs/heads/main`, `refs/tags/v1` */
  readonly ref: string
  readonly created: boolean
  readonly deleted: boolean
  readonly forced: boolean
  readonly compare: string
  readonly commits: readonly Commit[]
  readonly pusher: { readonly name: string }
  readonly repository: { readonly full_name: string; readonly default_branch?: string }
}

/** Whether `payload` is one of a push. */
export function isPush(payload: unknown): payload is Push {
  if (typeof payload !== "object" || payload === null) return false
  const { ref, commits, repository, pusher } = payload as Partial<Push>
  return typeof ref === "string" && Array.isArray(commits) && typeof repository?.full_name === "string" && typeof pusher?.name === "string"
}
