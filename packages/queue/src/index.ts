export * from "./access.js"
export * from "./claims.js"
export type { DeadLetter, DeadLetterContent } from "./dead-letter.js"
export {
  type DeadLetterFilter,
  type DeadLetterListOptions,
  type DeadLetterPage,
  getDeadLetter,
  listDeadLetters,
} from "./dead-letter-list.js"
export * from "./dead-letter-work.js"
export * from "./dead-letters.js"
export * from "./execution-list.js"
export * from "./executions.js"
export * from "./invocation.js"
export * from "./names.js"
export type { Page, PageOptions } from "./page.js"
export * from "./payload-ref.js"
export * from "./payloads.js"
export * from "./queue-stats.js"
export * from "./results.js"
export * from "./streams.js"
