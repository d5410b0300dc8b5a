import type { Subject } from "./github.js"

/** One label and when it applies. */
interface Rule {
  readonly label: string
  applies(subject: Subject): boolean
}

/** In this order; all that apply are given. */
const RULES: readonly Rule[] = [
  words("security", /\b(security|vulnerabilit(y|ies)|CVE-\d{4}-\d+|XSS|injection)\b/i),
  words("bug", /\b(bug|crash(es|ed)?|error|broken|fails?|regression|stack ?trace)\b/i),
  words("documentation", /\b(readme|docs?|documentation|typo|spelling|spelled)\b/i),
  words("enhancement", /\b(feature request|please add|would be (nice|great)|support for)\b/i),
  { label: "question", applies: ({ title }) => /\?\s*$/.test(title) || /^(how|why|what|where|can)\b/i.test(title) },
  { label: "dependencies", applies: ({ author, title }) => /^(dependabot|renovate)/i.test(author) || /^bump\s/i.test(title) },
  { label: "needs-description", applies: ({ body }) => body.trim().length < 20 },
  { label: "work-in-progress", applies: ({ draft, title }) => draft || /^\[?wip\b/i.test(title) },
]

/** A pull request is this size as long as it changes no more lines. */
const SIZES: readonly (readonly [string, number])[] = [
  ["size/XS", 9],
  ["size/S", 49],
  ["size/M", 249],
  ["size/L", 999],
]

/** The labels `subject` should have; `needs-triage` when no rule says anything. */
export function labelsFor(subject: Subject): string[] {
  const labels = RULES.filter((rule) => rule.applies(subject)).map(({ label }) => label)
  if (subject.changedLines !== undefined) labels.push(sizeOf(subject.changedLines))
  return labels.length === 0 ? ["needs-triage"] : labels
}

function sizeOf(changedLines: number): string {
  return SIZES.find(([, upTo]) => changedLines <= upTo)?.[0] ?? "size/XL"
}

function words(label: string, pattern: RegExp): Rule {
  return { label, applies: ({ title, body }) => pattern.test(title) || pattern.test(body) }
}
