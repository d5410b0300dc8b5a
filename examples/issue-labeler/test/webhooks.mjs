/** What GitHub sends: the payloads of its documentation, and more of the same made of them; for all functions that label issues. */
import { createRequire } from "node:module"

/** @typedef {{ action: string, issue?: object, pull_request?: object }} Payload */
/** A webhook as an event. @typedef {{ type: string, payload: Payload }} Hook */

/** @type {{ name: string, examples: Payload[] }[]} */
const examples = createRequire(import.meta.url)("@octokit/webhooks-examples")
const hooks = examples
  .filter(({ name }) => name === "issues" || name === "pull_request")
  .flatMap(({ name, examples }) => examples.map((payload) => ({ type: `com.github.${name}.${payload.action}`, payload })))
/** Fields that hold what people wrote. */
const WRITTEN = new Set(["body", "description", "message", "summary", "title"])
/** What they wrote in any payload there is. */
const texts = [...new Set(examples.flatMap(({ examples }) => examples.flatMap(textsOf)))]

/** Each payload as it was published, then with the titles and texts of others. @param {number} index @returns {Hook} */
export function hookAt(index) {
  const { type, payload } = /** @type {Hook} */ (hooks[index % hooks.length])
  if (index < hooks.length) return { type, payload }
  const field = payload.pull_request ? "pull_request" : "issue"
  const words = { title: texts[index % texts.length], body: texts[(index * 7) % texts.length] }
  return { type, payload: { ...payload, [field]: { ...payload[field], ...words } } }
}

/** What people wrote, wherever it is. @param {unknown} value @returns {string[]} */
function textsOf(value) {
  if (typeof value !== "object" || value === null) return []
  return Object.entries(value).flatMap(([key, part]) => (typeof part === "string" ? (WRITTEN.has(key) ? [part] : []) : textsOf(part)))
}
