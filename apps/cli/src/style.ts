import { DEFAULT_NAMESPACE, type FunctionRef, formatRef } from "@fn/core"
import type { Io, TextStream } from "./io.js"

type Paint = (text: string) => string

/** The few ways this command colours text. */
export interface Style {
  readonly bold: Paint
  readonly dim: Paint
  readonly red: Paint
  readonly green: Paint
  readonly yellow: Paint
  readonly cyan: Paint
}

const CODES = { bold: [1, 22], dim: [2, 22], red: [31, 39], green: [32, 39], yellow: [33, 39], cyan: [36, 39] } as const

/** Whether `stream` gets colours: only a terminal does, and not with NO_COLOR (https://no-color.org) or a dumb terminal. */
export function wantsColour(stream: TextStream, env: Io["env"]): boolean {
  return stream.isTTY === true && !env.NO_COLOR && env.TERM !== "dumb"
}

/** Colours that work, or that leave the text as it is. */
export function createStyle(enabled: boolean): Style {
  const paint = (name: keyof typeof CODES): Paint => {
    const [open, close] = CODES[name]
    return enabled ? (text) => `\x1b[${open}m${text}\x1b[${close}m` : (text) => text
  }
  return { bold: paint("bold"), dim: paint("dim"), red: paint("red"), green: paint("green"), yellow: paint("yellow"), cyan: paint("cyan") }
}

/** Rows as columns of equal width, two spaces between them. Past `maxWidth` the last column is cut. */
export function formatTable(rows: readonly (readonly string[])[], options: { readonly maxWidth?: number } = {}): string {
  const widths: number[] = []
  for (const row of rows) for (const [column, cell] of row.entries()) widths[column] = Math.max(widths[column] ?? 0, cell.length)
  const before = widths.slice(0, -1).reduce((sum, width) => sum + width + 2, 0)
  const room = Math.max(8, (options.maxWidth ?? Number.POSITIVE_INFINITY) - before)
  return rows
    .map((row) =>
      row
        .map((cell, column) => (column === widths.length - 1 ? fit(cell, room) : cell.padEnd(widths[column] as number)))
        .join("  ")
        .trimEnd(),
    )
    .join("\n")
}

/** `512 B`, `12.3 KB`, `4.0 MB`. */
export function formatBytes(bytes: number): string {
  if (bytes < 1000) return `${bytes} B`
  return bytes < 1_000_000 ? `${(bytes / 1000).toFixed(1)} KB` : `${(bytes / 1_000_000).toFixed(1)} MB`
}

/** `0.4 ms`, `31 ms`, `2.1 s`. */
export function formatMs(ms: number): string {
  if (ms < 10) return `${ms.toFixed(1)} ms`
  return ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`
}

/** A function's name as people write it: the default namespace goes without saying. */
export function shortRef(ref: FunctionRef): string {
  return formatRef(ref.namespace === DEFAULT_NAMESPACE ? { ...ref, namespace: "" } : ref).replace(/^\//, "")
}

/** `text` in at most `width` cells. */
export function fit(text: string, width: number): string {
  return text.length > width ? `${text.slice(0, width - 1)}…` : text
}

/** A moment in a table: `11-21 00:31:05`, UTC. */
export function formatMoment(iso: string): string {
  return iso.slice(5, 19).replace("T", " ")
}

/** A length of time, roughly: `12 s`, `5 m`, `3 h`, `8 d`. */
export function formatAge(ms: number): string {
  const seconds = Math.round(ms / 1_000)
  if (seconds < 120) return `${seconds} s`
  if (seconds < 7_200) return `${Math.round(seconds / 60)} m`
  return seconds < 172_800 ? `${Math.round(seconds / 3_600)} h` : `${Math.round(seconds / 86_400)} d`
}
