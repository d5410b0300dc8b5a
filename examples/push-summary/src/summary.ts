import type { Commit, Push } from "./github.js"

/** Data of `com.example.push.summary`. */
export interface Summary {
  readonly repository: string
  /** `main`, `v1.0.0` */
  readonly ref: string
  readonly kind: "branch" | "tag"
  readonly action: "created" | "deleted" | "forced" | "pushed"
  readonly by: string
  readonly commits: number
  /** Files changed by all commits together, each counted once. */
  readonly files: number
  readonly authors: readonly string[]
  readonly compare: string
  /** One line for a person. */
  readonly text: string
}

/** Data of `com.example.push.commit`. */
export interface CommitNote {
  readonly repository: string
  readonly ref: string
  readonly id: string
  readonly title: string
  readonly author: string
  readonly at: string
  readonly files: number
  readonly url: string
}

/** What a push did, in short. */
export function summaryOf(push: Push): Summary {
  const { name: ref, kind } = readRef(push.ref)
  const repository = push.repository.full_name
  const by = push.pusher.name
  const action = actionOf(push)
  const commits = push.commits.length
  const files = new Set(push.commits.flatMap(filesOf)).size
  const what = commits === 0 ? "" : ` with ${plural(commits, "commit")} in ${plural(files, "file")}`
  return {
    repository,
    ref,
    kind,
    action,
    by,
    commits,
    files,
    authors: [...new Set(push.commits.map(({ author }) => author.username ?? author.name))],
    compare: push.compare,
    text: `${by} ${action === "forced" ? "force-pushed" : action} ${kind} ${ref} of ${repository}${what}`,
  }
}

/** One commit, in short. */
export function commitOf(push: Push, commit: Commit): CommitNote {
  return {
    repository: push.repository.full_name,
    ref: readRef(push.ref).name,
    id: commit.id,
    title: commit.message.split("\n", 1)[0] as string,
    author: commit.author.username ?? commit.author.name,
    at: commit.timestamp,
    files: new Set(filesOf(commit)).size,
    url: commit.url,
  }
}

function actionOf({ created, deleted, forced }: Push): Summary["action"] {
  if (created) return "created"
  if (deleted) return "deleted"
  return forced ? "forced" : "pushed"
}

function readRef(ref: string): { name: string; kind: "branch" | "tag" } {
  const [, type, name] = /^refs\/(heads|tags)\/(.+)$/.exec(ref) ?? []
  return { name: name ?? ref, kind: type === "tags" ? "tag" : "branch" }
}

function filesOf({ added, removed, modified }: Commit): readonly string[] {
  return [...added, ...removed, ...modified]
}

function plural(count: number, noun: string): string {
  return `${count} ${noun}${count === 1 ? "" : "s"}`
}
