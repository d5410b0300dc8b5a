/** First characters of subjects that may be replied to: clients' inboxes and the server's own for cross-account replies. */
export const REPLY_PREFIXES: readonly string[] = ["_INBOX", "_R_"]

/**
 * Whether a reply may be published to `subject`. A caller chooses it, so one that names `$KV.…`, `$JS.…` or a platform subject would
 * make the answering process write there with its own rights.
 */
export function isReplySubject(subject: string | undefined, prefixes: readonly string[] = REPLY_PREFIXES): subject is string {
  if (subject === undefined) return false
  for (const prefix of prefixes) if (subject.startsWith(prefix)) return true
  return false
}
