/** Values of command line options. What is wrong is usage: commander names the option. */
import { InvalidArgumentError } from "commander"

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  B: 1,
  KB: 1e3,
  MB: 1e6,
  GB: 1e9,
  TB: 1e12,
  KIB: 2 ** 10,
  MIB: 2 ** 20,
  GIB: 2 ** 30,
  TIB: 2 ** 40,
}

const DURATIONS_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** A whole number from 1. */
export function parseCount(text: string): number {
  const count = Number(text)
  if (!(Number.isSafeInteger(count) && count > 0)) throw new InvalidArgumentError("It must be a whole number, 1 or more.")
  return count
}

/** A TCP port; 0 asks for a free one. */
export function parsePort(text: string): number {
  const port = Number(text)
  if (text.trim() === "" || !(Number.isInteger(port) && port >= 0 && port <= 65_535))
    throw new InvalidArgumentError("It must be a port from 0 (a free one) to 65535.")
  return port
}

/** A size with an optional unit: `512MiB`, `2GB`, `1000000`. */
export function parseBytes(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*([a-z]*)$/i.exec(text.trim()) ?? []
  const factor = UNITS[unit.toUpperCase()]
  const bytes = Math.round(Number(number) * (factor ?? Number.NaN))
  if (!(Number.isSafeInteger(bytes) && bytes > 0)) throw new InvalidArgumentError("It must be a size such as 512MiB, 2GB or 1000000.")
  return bytes
}

/** A length of time with its unit, in ms: `500ms`, `90s`, `15m`, `24h`, `7d`. */
export function parseDuration(text: string): number {
  const [, number, unit = ""] = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)$/.exec(text.trim()) ?? []
  const ms = Math.round(Number(number) * (DURATIONS_MS[unit] ?? Number.NaN))
  if (!(Number.isSafeInteger(ms) && ms > 0)) throw new InvalidArgumentError("It must be a length of time such as 500ms, 90s, 24h or 7d.")
  return ms
}

/** A moment as an ISO time: `2030-01-31T08:00:00Z`. */
export function parseTime(text: string): Date {
  const time = new Date(text)
  if (!/^\d{4}-\d{2}-\d{2}T.*(?:Z|[+-]\d{2}:?\d{2})$/.test(text) || Number.isNaN(time.getTime()))
    throw new InvalidArgumentError("It must be a time with its zone such as 2030-01-31T08:00:00Z.")
  return time
}
