const tty = process.stdout.isTTY === true
const dim = (text) => (tty && !process.env.NO_COLOR ? `\x1b[2m${text}\x1b[0m` : text)
const bold = (text) => (tty && !process.env.NO_COLOR ? `\x1b[1m${text}\x1b[0m` : text)

/** A bar of calls on a terminal; elsewhere one line at the start. */
export function startBar(total) {
  const width = 40
  let done = 0
  if (!tty) console.log(`Invoking: ${total} events …`)
  const draw = () => {
    const full = Math.round((done / total) * width)
    process.stdout.write(`\r\x1b[KInvoking ${"█".repeat(full)}${"░".repeat(width - full)} ${done}/${total}`)
  }
  return {
    step: () => {
      done++
      if (tty && (done % 10 === 0 || done === total)) draw()
    },
    stop: () => {
      if (tty) process.stdout.write("\r\x1b[K")
    },
  }
}

/** One line per function. */
export function showTable(results) {
  const rows = results.map(({ name, kind, eventsIn, eventsOut, errors, latencies, coldStartMs }) => [
    name,
    kind,
    eventsIn,
    eventsOut,
    errors,
    ms(quantile(latencies, 0.5)),
    ms(quantile(latencies, 0.99)),
    ms(coldStartMs),
  ])
  const head = ["function", "kind", "in", "out", "errors", "p50", "p99", "cold start"]
  const widths = head.map((title, at) => Math.max(title.length, ...rows.map((row) => String(row[at]).length)))
  const line = (cells) =>
    `  ${cells.map((cell, at) => (at < 2 ? String(cell).padEnd(widths[at]) : String(cell).padStart(widths[at]))).join("  ")}`
  console.log(`\n${bold(line(head))}`)
  for (const row of rows) console.log(line(row))
  console.log(dim("  each by the client; 40 of each again by HTTP and one by a bare NATS request; answers compared"))
}

/** One event and what became of it. */
export function showSample(result) {
  if (!result?.sample) return
  const { event, events } = result.sample
  console.log(`\n  ${bold("one event in")}, ${events.length} out of ${result.name}:\n`)
  console.log(`  → ${event.type} ${dim(`from ${event.source}`)}  ${clip(event.data)}`)
  for (const out of events.slice(0, 4)) console.log(`  ← ${out.type} ${dim(`subject ${out.subject ?? "-"}`)}  ${clip(out.data)}`)
  if (events.length > 4) console.log(dim(`  ← … and ${events.length - 4} more`))
}

function clip(data) {
  const text = JSON.stringify(data)
  return dim(text.length > 90 ? `${text.slice(0, 87)}...` : text)
}

function quantile(values, q) {
  const sorted = [...values].sort((a, b) => a - b)
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * q))] ?? 0
}

function ms(value) {
  return value < 10 ? `${value.toFixed(1)} ms` : `${Math.round(value)} ms`
}
