/** Rows as a table for people. */

const COLUMNS = [
  { title: "name", text: ({ name }) => name },
  { title: "ratio", width: 9, right: true, text: ({ ratio }) => (ratio === null ? "–" : String(ratio)) },
  { title: "range", width: 17, right: true, text: ({ range }) => (range ? `${range[0]}–${range[1]}` : "–") },
  { title: "goal", width: 8, right: true, text: ({ goal }) => goal ?? "–" },
  { title: "met", width: 6, right: true, text: ({ met }) => (met === null ? "–" : met ? "yes" : "NO") },
  { title: "it", width: 18, right: true, text: ({ figure }) => formatFigure(figure) },
  { title: "reference", width: 18, right: true, text: ({ referenceFigure }) => formatFigure(referenceFigure) },
  { title: "p50 µs", width: 9, right: true, text: ({ p50us }) => String(p50us ?? "–") },
  { title: "p99 µs", width: 9, right: true, text: ({ p99us }) => String(p99us ?? "–") },
]

/** The table, and below it what each row was compared with and ran under. */
export function formatTable(rows) {
  const nameWidth = Math.max(...rows.map(({ name }) => name.length)) + 2
  const cells = (textOf) => line(COLUMNS.map((column) => pad(textOf(column), { width: nameWidth, ...column })))
  const lines = [cells(({ title }) => title)]
  for (const row of rows) {
    if (row.skipped) lines.push(`SKIPPED: ${row.skipped}: ${row.name}`)
    else if (row.failed) lines.push(`FAILED: ${row.name}: ${row.failed}`)
    else lines.push(cells(({ text }) => text(row)))
  }
  lines.push("", ...rows.filter(({ skipped, failed }) => !skipped && !failed).map(conditionsOf))
  return `${lines.join("\n")}\n`
}

/** `name ÷ reference`, how it ran, and what it cost. */
function conditionsOf(row) {
  const compared = row.reference === row.name ? "a reference" : row.reference === "none" ? "no ratio: as it is" : `÷ ${row.reference}`
  const cpu = Object.entries(row.cpuUsPerCall).map(([role, us]) => `${role} ${us}`)
  return [
    `${row.name}: ${compared}`,
    ...(row.inFlight === null ? [] : [`${row.inFlight} in flight`]),
    ...(row.sizeBytes === null ? [] : [`${row.sizeBytes} B`]),
    ...(row.rounds === null ? [] : [row.rounds === 1 ? "1 round" : `${row.rounds} rounds`]),
    ...(row.note ? [row.note] : []),
    `policy ${row.policy}`,
    `durability ${row.durability}`,
    ...(cpu.length > 0 ? [`CPU µs a call: ${cpu.join(", ")}`] : []),
  ].join("; ")
}

export function formatFigure(figure) {
  return figure ? `${figure.value} ${figure.unit}` : "–"
}

function pad(text, { width, right }) {
  return right ? text.padStart(width) : text.padEnd(width)
}

function line(texts) {
  return texts.join("").trimEnd()
}
