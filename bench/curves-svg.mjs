/**
 * The picture of the latency curves: p50 and p99 over offered load, both axes logarithmic. One file that reads well light and dark: the colours of
 * the curves are chosen for both, text and background take what the reader's system prefers.
 */

const WIDTH = 880
const HEIGHT = 462
const PLOT = { left: 74, right: 660, top: 56, bottom: 396 }
const LEGEND_X = PLOT.right + 28
/** Told apart by people who see few colours, too: the markers differ as well. */
const SERIES = [
  { name: "raw-echo", label: "raw echo (reference)", color: "#808b96", marker: circle },
  { name: "builtin", label: "builtin", color: "#2e86de", marker: square },
  { name: "module", label: "module", color: "#d98a00", marker: diamond },
  { name: "plugin-ts-stream", label: "plugin, TypeScript", color: "#1f9d6b", marker: triangle },
  { name: "plugin-go-stream", label: "plugin, Go", color: "#c2459a", marker: cross },
]

/** The curves of a run: `{ name, curve }` of each row that has one. */
export function curvesOf(rows) {
  return rows.filter(({ curve }) => curve?.length > 0).map(({ name, curve }) => ({ name: name.replace(/^latency-/, ""), curve }))
}

/** The picture as SVG. @throws when there is no curve */
export function drawCurves(curves) {
  const points = curves.flatMap(({ curve }) => curve)
  if (points.length === 0) throw new Error("no row has a curve: the rows latency-* have")
  const x = scaleOf(
    points.map(({ offeredPerSecond }) => offeredPerSecond),
    [PLOT.left + 12, PLOT.right - 12],
    [1, 2, 5],
  )
  const y = scaleOf(
    points.flatMap(({ p50us, p99us }) => [p50us, p99us]),
    [PLOT.bottom - 8, PLOT.top + 8],
    [1, 2, 5],
  )
  const drawn = SERIES.flatMap((series) => curves.filter(({ name }) => name === series.name).map(({ curve }) => ({ ...series, curve })))
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img" aria-labelledby="title">
<title id="title">Latency over offered load, p50 and p99, by kind of function</title>
<style>
  text { font: 13px system-ui, sans-serif; fill: #3b4754 }
  .head { font-size: 15px; font-weight: 600 }
  .axis { stroke: #7b8794; stroke-width: 1 }
  .grid { stroke: #7b8794; stroke-opacity: 0.25; stroke-width: 1 }
  .p50, .p99, .marker { fill: none; stroke-width: 2; stroke-linejoin: round }
  .p99 { stroke-dasharray: 5 4 }
  .key { stroke: #3b4754 }
  .page { fill: #ffffff }
  @media (prefers-color-scheme: dark) { text { fill: #d5dbe1 } .key { stroke: #d5dbe1 } .page { fill: #12171d } }
</style>
<rect class="page" width="${WIDTH}" height="${HEIGHT}" rx="8"/>
<text class="head" x="${PLOT.left}" y="26">Latency over offered load</text>
<text x="${PLOT.left}" y="44">open loop: counted from when a call was due; 256 B of JSON</text>
${axes(x, y)}
${drawn.map((series) => curveOf(series, x, y)).join("\n")}
${legend(drawn)}
</svg>
`
}

/** A logarithmic scale over `values`, its ticks at `steps` of each power of ten. */
function scaleOf(values, [from, to], steps) {
  const [low, high] = [Math.log10(Math.min(...values)), Math.log10(Math.max(...values))]
  const span = high - low || 1
  const at = (value) => from + ((Math.log10(value) - low) / span) * (to - from)
  const ticks = []
  for (let power = Math.floor(low); power <= Math.ceil(high); power++)
    for (const step of steps) {
      const value = step * 10 ** power
      if (Math.log10(value) >= low - 1e-9 && Math.log10(value) <= high + 1e-9) ticks.push(value)
    }
  return { at, ticks }
}

function axes(x, y) {
  const { left, right, top, bottom } = PLOT
  const vertical = x.ticks.map(
    (value) =>
      `<line class="grid" x1="${px(x.at(value))}" x2="${px(x.at(value))}" y1="${top}" y2="${bottom}"/><text x="${px(x.at(value))}" y="${bottom + 20}" text-anchor="middle">${shortNumber(value)}</text>`,
  )
  const horizontal = y.ticks.map(
    (value) =>
      `<line class="grid" x1="${left}" x2="${right}" y1="${px(y.at(value))}" y2="${px(y.at(value))}"/><text x="${left - 8}" y="${px(y.at(value) + 4)}" text-anchor="end">${duration(value)}</text>`,
  )
  return [
    ...vertical,
    ...horizontal,
    `<path class="axis" fill="none" d="M${left} ${top}V${bottom}H${right}"/>`,
    `<text x="${(left + right) / 2}" y="${bottom + 44}" text-anchor="middle">calls offered per second</text>`,
  ].join("\n")
}

function curveOf({ name, color, marker, curve }, x, y) {
  const path = (field) =>
    curve.map((point, n) => `${n === 0 ? "M" : "L"}${px(x.at(point.offeredPerSecond))} ${px(y.at(point[field]))}`).join("")
  const markers = (field) => curve.map((point) => marker(x.at(point.offeredPerSecond), y.at(point[field]))).join("")
  return `<g id="${name}" stroke="${color}">
<path class="p50" d="${path("p50us")}"/><path class="p99" d="${path("p99us")}"/>
<path class="marker" d="${markers("p50us")}${markers("p99us")}"/>
</g>`
}

function legend(drawn) {
  const entries = drawn.map(({ label, color, marker }, n) => {
    const at = PLOT.top + 14 + n * 26
    return `<path stroke="${color}" class="marker" d="M${LEGEND_X} ${at}h26${marker(LEGEND_X + 13, at)}"/><text x="${LEGEND_X + 36}" y="${at + 4}">${label}</text>`
  })
  const keys = [
    ["p50", "50 % are faster"],
    ["p99", "99 % are faster"],
  ].map(([name, words], n) => {
    const at = PLOT.top + 34 + (drawn.length + n) * 26
    return `<path class="${name} key" d="M${LEGEND_X} ${at}h26"/><text x="${LEGEND_X + 36}" y="${at + 4}">${name}: ${words}</text>`
  })
  return [...entries, ...keys].join("\n")
}

function circle(x, y) {
  return `M${px(x - 3.5)} ${px(y)}a3.5 3.5 0 1 0 7 0a3.5 3.5 0 1 0 -7 0`
}

function square(x, y) {
  return `M${px(x - 3)} ${px(y - 3)}h6v6h-6z`
}

function diamond(x, y) {
  return `M${px(x)} ${px(y - 4.5)}l4.5 4.5l-4.5 4.5l-4.5 -4.5z`
}

function triangle(x, y) {
  return `M${px(x)} ${px(y - 4)}l4 7h-8z`
}

function cross(x, y) {
  return `M${px(x - 3.5)} ${px(y - 3.5)}l7 7m0 -7l-7 7`
}

function px(value) {
  return Number(value.toFixed(1))
}

function shortNumber(value) {
  return value >= 1000 ? `${value / 1000}k` : String(value)
}

function duration(us) {
  if (us >= 1_000_000) return `${us / 1_000_000} s`
  return us >= 1000 ? `${us / 1000} ms` : `${us} µs`
}
