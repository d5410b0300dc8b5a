/** What GitHub sends: the payloads of its documentation, and more of the same made of them; for all functions that label issues. */
import { createRequire } from "node:module"

interface Item {
  readonly title: string
  readonly body?: string | null
}
interface Payload {
  readonly action: string
  readonly issue?: Item
  readonly pull_request?: Item
  readonly comment?: { readonly body?: string }
  readonly commits?: { readonly message: string }[]
  readonly repository: { readonly full_name: string }
}
/** A webhook as an event. */
export interface Hook {
  readonly type: string
  readonly payload: Payload
}

const examples = createRequire(import.meta.url)("@octokit/webhooks-examples") as { name: string; examples: Payload[] }[]
const hooks: Hook[] = examples
  .filter(({ name }) => name === "issues" || name === "pull_request")
  .flatMap(({ name, examples }) => examples.map((payload) => ({ type: `com.github.${name}.${payload.action}`, payload })))
/** What people wrote in any payload there is. */
const texts = [
  ...new Set(
    examples.flatMap(({ examples }) =>
      examples.flatMap(({ issue, pull_request, comment, commits }) =>
        [
          issue?.title,
          issue?.body,
          pull_request?.title,
          pull_request?.body,
          comment?.body,
          ...(commits ?? []).map(({ message }) => message),
        ].flatMap((text) => text ?? []),
      ),
    ),
  ),
]

/** Each payload as it was published, then with the titles and texts of others. */
export function hookAt(index: number): Hook {
  const { type, payload } = hooks[index % hooks.length] as Hook
  if (index < hooks.length) return { type, payload }
  const field = payload.pull_request ? "pull_request" : "issue"
  const words = { title: texts[index % texts.length], body: texts[(index * 7) % texts.length] }
  return { type, payload: { ...payload, [field]: { ...payload[field], ...words } } }
}
