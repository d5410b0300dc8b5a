/**
 * `node bench/report.mjs result.json`: writes the results of `npm run bench -- --json result.json` into docs/performance.md, between its markers, and
 * where the run had curves, the picture beside it.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { curvesOf, drawCurves } from "./curves-svg.mjs"
import { benchFolder } from "./measure/program.mjs"
import { formatFigure } from "./table.mjs"

const BEGIN = "<!-- results: written by bench/report.mjs -->"
const END = "<!-- end of results -->"
const PAGE = join(benchFolder, "../docs/performance.md")
const PICTURE = join(benchFolder, "../docs/performance.svg")

/** `page` with the results section made of `rows`. @throws when its markers are not there */
export function withResults(page, rows) {
  const [from, to] = [page.indexOf(BEGIN), page.indexOf(END)]
  if (from < 0 || to < from) throw new Error(`the page needs the lines "${BEGIN}" and "${END}"`)
  return `${page.slice(0, from + BEGIN.length)}\n\n${resultsOf(rows)}\n${page.slice(to)}`
}

function resultsOf(rows) {
  const measured = rows.filter(({ skipped, failed }) => !skipped && !failed)
  const withGoal = measured.filter(({ goal }) => goal !== null)
  const references = measured.filter(({ name, reference }) => name === reference)
  const others = measured.filter((row) => !withGoal.includes(row) && !references.includes(row))
  const missing = rows.filter(({ skipped, failed }) => skipped || failed)
  return [
    `Measured on ${rows[0]?.machine ?? "an unknown machine"}.`,
    section(withGoal, [
      ["row", ({ name }) => `\`${name}\``],
      ["ratio", ({ ratio }) => ratio],
      ["range", rangeText],
      ["goal", ({ goal }) => goal],
      ["met", ({ met }) => (met ? "yes" : "**no**")],
      ["it", ({ figure }) => formatFigure(figure)],
      ["reference", ({ reference, referenceFigure }) => (referenceFigure ? `${formatFigure(referenceFigure)} (${reference})` : "–")],
      ["p50 / p99 µs", latencyText],
      ["CPU µs a call", cpuText],
    ]),
    curvesOf(rows).length > 0 ? "![Latency over offered load, p50 and p99, by kind of function](performance.svg)" : "",
    section(references, [
      ["reference", ({ name }) => `\`${name}\``],
      ["calls/s", ({ throughput }) => throughput],
      ["p50 / p99 µs", latencyText],
      ["CPU µs a call", cpuText],
    ]),
    section(others, [
      ["row without a goal", ({ name }) => `\`${name}\``],
      ["ratio", ({ ratio }) => ratio ?? "–"],
      ["range", rangeText],
      ["it", ({ figure }) => formatFigure(figure)],
      ["reference", ({ reference, referenceFigure }) => (referenceFigure ? `${formatFigure(referenceFigure)} (${reference})` : "–")],
    ]),
    missing.map(({ name, skipped, failed }) => `- \`${name}\`: ${skipped ?? `failed: ${failed}`}`).join("\n"),
  ]
    .filter(Boolean)
    .map((part) => `${part}\n`)
    .join("\n")
}

function section(rows, columns) {
  if (rows.length === 0) return ""
  const line = (cells) => `| ${cells.join(" | ")} |`
  return [
    line(columns.map(([title]) => title)),
    line(columns.map((_column, n) => (n === 0 ? "---" : "---:"))),
    ...rows.map((row) => line(columns.map(([, text]) => text(row)))),
  ].join("\n")
}

function rangeText({ range }) {
  return range ? `${range[0]} – ${range[1]}` : "–"
}

function latencyText({ p50us, p99us }) {
  return p50us === null ? "–" : `${p50us} / ${p99us ?? "–"}`
}

function cpuText({ cpuUsPerCall }) {
  const roles = Object.entries(cpuUsPerCall)
  return roles.length === 0 ? "–" : roles.map(([role, us]) => `${role} ${us}`).join(", ")
}

if (import.meta.filename === process.argv[1]) {
  const rows = JSON.parse(readFileSync(process.argv[2], "utf8"))
  writeFileSync(PAGE, withResults(readFileSync(PAGE, "utf8"), rows))
  const curves = curvesOf(rows)
  if (curves.length > 0) writeFileSync(PICTURE, drawCurves(curves))
}
