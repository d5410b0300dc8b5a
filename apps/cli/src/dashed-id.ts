/** Verbs whose argument is an invocation id. */
const VERBS: ReadonlySet<string> = new Set(["result", "status", "cancel"])
/** An id as idempotency keys give it: base64url of a digest, so one in 64 begins with `-`. */
const DASHED_ID = /^-[A-Za-z0-9_-]{21}$/

/** The command line with an id that begins with `-` moved behind `--`, where no parser takes it for an option. */
export function shieldDashedId(argv: readonly string[]): readonly string[] {
  if (!VERBS.has(argv[0] ?? "") || argv.includes("--")) return argv
  const at = argv.findIndex((argument) => DASHED_ID.test(argument) && !argument.startsWith("--"))
  return at < 0 ? argv : [...argv.slice(0, at), ...argv.slice(at + 1), "--", argv[at] as string]
}
