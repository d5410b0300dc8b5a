import { defineFunction } from "@fn/plugin-sdk"

const SECRETS = [
  [/[\w.+-]+@[\w-]+\.[\w.-]+/g, "***@***"], // e-mail addresses
  [/\b(?:gh[opsu]_\w{20,}|github_pat_\w{20,})/g, "***"], // GitHub's tokens
]

/** Any GitHub webhook in; the same payload out, with e-mail addresses and tokens masked. It runs in the host's own process. */
export const redact = defineFunction({
  name: "redact",
  on: "com.github.*",
  emits: ["com.example.github.redacted"],
  handler: (event) => ({ type: "com.example.github.redacted", subject: event.type, data: mask(event.data) }),
})

function mask(value) {
  if (typeof value === "string") return SECRETS.reduce((text, [pattern, stars]) => text.replace(pattern, stars), value)
  if (Array.isArray(value)) return value.map(mask)
  if (value === null || typeof value !== "object") return value
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, mask(item)]))
}
