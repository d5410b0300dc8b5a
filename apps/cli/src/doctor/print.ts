/** `fn doctor` for people: what works, what does not and why, what to do next. */
import { type GradedGuarantee, GUARANTEES, type Guarantee } from "@fn/runtime"
import type { Style } from "../style.js"
import { NEEDED } from "./isolation.js"
import type { DoctorReport, IsolationFinding, LanguageFinding, NatsFinding } from "./report.js"

const MEANINGS: Readonly<Record<Guarantee, string>> = {
  memory: "uses no more memory than it may",
  pids: "starts no more processes",
  cpu: "has no more than its share",
  cpuTime: "ends after so much processor time",
  handles: "opens no more files",
  files: "sees only files it was granted",
  network: "reaches only what it was granted",
  syscalls: "calls no kernel it does not need",
  user: "cannot touch others' processes",
  kill: "ends with all it started",
}
const MARKS = { hard: "✓", soft: "~", absent: "✗" } as const
const PAINTS = { hard: "green", soft: "yellow", absent: "red" } as const

/** One section after the other, and at the end what to do. */
export function printDoctor(report: DoctorReport, style: Style): string {
  const { fn, isolation, languages } = report
  return [
    `${style.bold(`fn ${fn.version}`)} ${style.dim(`node ${fn.node} · ${fn.system} · as ${fn.user}`)}`,
    section("Isolation", "each tried just now, by a process that tries to get out", style),
    ...guaranteeLines(isolation, style),
    "",
    ...policyLines(isolation, style),
    section("Languages", "what fn deploy builds with", style),
    ...languageLines(languages, style),
    section("NATS", "", style),
    ...natsLines(report, style),
    ...requirementLines(report, style),
    ...nextLines(report, style),
  ].join("\n")
}

function section(title: string, note: string, style: Style): string {
  return `\n${style.bold(title)}${note === "" ? "" : ` ${style.dim(note)}`}`
}

/** A table of guarantees by levels. */
function guaranteeLines({ grades }: IsolationFinding, style: Style): string[] {
  const width = 36
  const head = `  ${"".padEnd(10)}${"process".padEnd(width)}sandbox`
  const rows = GUARANTEES.map((name) => {
    const cells = [grades.process[name], grades.sandbox[name]]
    const [own, boxed] = cells.map((grade) => cell(grade)) as [string, string]
    const paint = (grade: GradedGuarantee, text: string): string => style[PAINTS[grade.grade]](text)
    return `  ${name.padEnd(10)}${paint(grades.process[name], own.padEnd(width))}${paint(grades.sandbox[name], boxed.padEnd(width))}${style.dim(MEANINGS[name])}`
  })
  return [style.dim(head), ...rows, style.dim("  ✓ hard: kept by the kernel   ~ soft: against mistakes only   ✗ absent: nothing keeps it")]
}

function cell({ grade, mechanism }: GradedGuarantee): string {
  return grade === "absent" ? MARKS.absent : `${MARKS[grade]} ${mechanism}`
}

function policyLines({ strictProblem, grades, lacks }: IsolationFinding, style: Style): string[] {
  const good = style.green("✓")
  const bad = style.red("✗")
  const soft = NEEDED.sandbox.filter((name) => grades.sandbox[name].grade === "soft")
  const accepted = lacks.sandbox.length === 0 && soft.length > 0 ? ` ${style.yellow(`(${soft.join(", ")}: softly, as accepted)`)}` : ""
  return [
    strictProblem
      ? `  ${bad} policy strict: a host serves no functions but builtins here`
      : `  ${good} policy strict: every function runs in a sandbox${accepted}`,
    ...lacks.sandbox.map(({ what }) => `    ${style.dim("why:")} ${what}`),
    `  ${good} policy dev: functions are processes of this user${lacks.sandbox.length === 0 ? "; those that ask get a sandbox" : ""}`,
    `  ${good} level wasm: reaches neither files nor network by itself; under strict its process is in a sandbox, too`,
  ]
}

function languageLines(languages: readonly LanguageFinding[], style: Style): string[] {
  return languages.map(({ language, found, lacks, note, forHosts }) => {
    const versions = Object.entries(found).map(([name, version]) => (version === "there" ? name : `${name} ${version}`))
    const missing = lacks.map(({ what }) => `no ${what}`)
    const isHere = lacks.length === 0
    const mark = !isHere ? style.red("✗") : versions.length > 0 ? style.green("✓") : style.dim("–")
    const tools = [...versions, ...missing].join(", ") || (forHosts === undefined ? "not here, and not needed" : `not here: ${forHosts}`)
    return `  ${mark} ${language.padEnd(8)}${tools.padEnd(48)} ${style.dim(note)}`
  })
}

function natsLines({ natsServer, nats }: DoctorReport, style: Style): string[] {
  const good = style.green("✓")
  const bad = style.red("✗")
  const local = natsServer
    ? `  ${good} fn dev starts nats-server ${natsServer.version} ${style.dim(natsServer.path)}`
    : `  ${style.dim("–")} fn dev fetches a nats-server at its first start`
  if (!nats) return [local, `  ${style.dim("–")} no NATS named: --nats-url looks at one`]
  return [local, ...platformLines(nats, { good, bad })]
}

function platformLines(
  { url, version, jetstream, hosts, setUp, problem }: NatsFinding,
  { good, bad }: { good: string; bad: string },
): string[] {
  const failed = problem ? [`  ${bad} ${problem.message} (${problem.reason})`] : []
  if (version === undefined) return failed
  const count = hosts?.length ?? 0
  return [
    `  ${good} ${url}: nats-server ${version}${jetstream ? ", JetStream" : ", no JetStream"}`,
    ...(setUp ? [`  ${good} the platform is set up`] : []),
    `  ${count > 0 ? good : bad} ${count === 0 ? "no host answers" : count === 1 ? "1 host answers" : `${count} hosts answer`}`,
    ...failed,
  ]
}

function requirementLines({ required }: DoctorReport, style: Style): string[] {
  if (required.length === 0) return []
  const lines = required.map(
    ({ name, met, why }) => `  ${met ? style.green("✓") : style.red("✗")} ${name}${why === undefined ? "" : `: ${why}`}`,
  )
  return [section("Required", "", style), ...lines]
}

/** What would make more of it work; every remedy once. */
function nextLines({ isolation, languages, nats }: DoctorReport, style: Style): string[] {
  const remedies = new Map<string, string[]>()
  const add = (remedy: string, why: string): void => void remedies.set(remedy, [...(remedies.get(remedy) ?? []), why])
  if (isolation.lacks.sandbox.length > 0) for (const { remedy } of isolation.lacks.sandbox) add(remedy, "sandboxes")
  const soft = NEEDED.sandbox.filter((name) => isolation.grades.sandbox[name].grade === "soft")
  const isSoftOnly = isolation.lacks.sandbox.length > 0 && NEEDED.sandbox.every((name) => isolation.grades.sandbox[name].grade !== "absent")
  if (isSoftOnly) add(`or start hosts with --isolation-accept-soft ${soft.join(",")}`, "sandboxes, kept less firmly")
  for (const { language, lacks } of languages) for (const { remedy } of lacks) add(remedy, `functions in ${language}`)
  if (nats?.problem) add(nats.problem.remedy, "NATS")
  else if (nats?.hosts?.length === 0) add("start a host: fn-runtime-service", "calls")
  if (remedies.size === 0) return ["", style.green("Nothing is missing.")]
  const lines = [...remedies].map(([remedy, why]) => `  ${remedy} ${style.dim(`for ${[...new Set(why)].join(", ")}`)}`)
  return [section("Next", "what is missing, and how to get it", style), ...lines]
}
