/** The parts of GitHub's `issues` and `pull_request` payloads that labels depend on. https://docs.github.com/webhooks/webhook-events-and-payloads */

/** An issue or a pull request, whichever the webhook was about. */
export interface Subject {
  readonly kind: "issue" | "pull_request"
  readonly repository: string
  readonly number: number
  readonly title: string
  readonly body: string
  readonly url: string
  readonly author: string
  /** Labels it has already. */
  readonly labels: readonly string[]
  readonly draft: boolean
  /** Lines a pull request adds and removes. */
  readonly changedLines?: number
}

/** Data of the event that goes out. */
export interface Labelled {
  readonly repository: string
  readonly kind: Subject["kind"]
  readonly number: number
  readonly title: string
  readonly url: string
  /** Every label it should have. */
  readonly labels: readonly string[]
  /** Those it does not have yet. */
  readonly added: readonly string[]
}

interface Item {
  number: number
  title: string
  body?: string | null
  html_url: string
  user?: { login: string } | null
  labels?: { name: string }[]
  draft?: boolean
  additions?: number
  deletions?: number
}

interface Payload {
  issue?: Item
  pull_request?: Item
  repository?: { full_name: string }
}

/** What the payload is about; undefined when it is about neither an issue nor a pull request. */
export function readSubject(payload: unknown): Subject | undefined {
  const { issue, pull_request: pullRequest, repository } = (payload ?? {}) as Payload
  const item = pullRequest ?? issue
  if (!item || typeof item.title !== "string" || !repository) return undefined
  return {
    kind: pullRequest ? "pull_request" : "issue",
    repository: repository.full_name,
    number: item.number,
    title: item.title,
    body: item.body ?? "",
    url: item.html_url,
    author: item.user?.login ?? "ghost",
    labels: (item.labels ?? []).map(({ name }) => name),
    draft: item.draft === true,
    ...(pullRequest?.additions === undefined ? {} : { changedLines: pullRequest.additions + (pullRequest.deletions ?? 0) }),
  }
}
