/**
 * Archives of functions that need more than one file: plain ustar, uncompressed, so that nothing in them can blow up.
 *
 * What may be in one is decided here, for those who pack and for those who unpack: files and folders below the archive's own root, and nothing
 * else. Anything that could write elsewhere, or be read two ways, makes the whole archive invalid. docs/command-protocol.md#archives
 */
import { FnError } from "@fn/core"

/** What an archive may hold at most. */
export const ARCHIVE_LIMITS = { entries: 10_000, totalBytes: 512 * 1024 * 1024, nameBytes: 255, depth: 20 } as const

/** One file or folder of an archive. */
export interface ArchiveEntry {
  /** Relative path with slashes, no slash at the end. */
  readonly name: string
  readonly kind: "file" | "folder"
  readonly sizeBytes: number
  readonly executable: boolean
}

/** Size of a header, and what contents are filled up to. */
export const BLOCK_BYTES = 512

const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  checksum: [148, 8],
  type: [156, 1],
  link: [157, 100],
  magic: [257, 8],
  prefix: [345, 155],
} as const
const MAGIC = "ustar\u000000"
const TYPES: Readonly<Record<string, ArchiveEntry["kind"]>> = { "0": "file", "\0": "file", "5": "folder" }
const TYPE_NAMES: Readonly<Record<string, string>> = {
  "1": "a hard link",
  "2": "a symbolic link",
  "3": "a character device",
  "4": "a block device",
  "6": "a named pipe",
  x: "a pax header (make the archive with tar --format=ustar)",
  g: "a pax header (make the archive with tar --format=ustar)",
  L: "a GNU long name (make the archive with tar --format=ustar)",
}
const utf8 = new TextDecoder("utf-8", { fatal: true })

/** The header of `entry`, the same for the same entry wherever and whenever it is made. @throws {FnError} INVALID_ARTIFACT for a name that may not be, or does not fit */
export function encodeHeader(entry: ArchiveEntry): Buffer {
  checkName(entry.name)
  const header = Buffer.alloc(BLOCK_BYTES)
  const put = (field: keyof typeof FIELD, text: string | Buffer): void => {
    header.set(typeof text === "string" ? Buffer.from(text, "latin1") : text, FIELD[field][0])
  }
  const { prefix, name } = splitName(entry.name)
  put("name", name)
  put("prefix", prefix)
  put("mode", entry.executable || entry.kind === "folder" ? "0000755\0" : "0000644\0")
  put("uid", "0000000\0")
  put("gid", "0000000\0")
  put("size", `${entry.sizeBytes.toString(8).padStart(11, "0")}\0`)
  put("mtime", "00000000000\0")
  put("type", entry.kind === "folder" ? "5" : "0")
  put("magic", MAGIC)
  put("checksum", `${checksumOf(header).toString(8).padStart(6, "0")}\0 `)
  return header
}

/** The entry in a header, `.` for the root itself; undefined for the empty block that ends an archive. @throws {FnError} INVALID_ARTIFACT */
export function decodeHeader(header: Buffer): ArchiveEntry | undefined {
  if (header.every((byte) => byte === 0)) return undefined
  const text = (field: keyof typeof FIELD): string => textOf(header, FIELD[field])
  if (octal(text("checksum"), "a checksum") !== checksumOf(header)) throw invalid("a header is damaged (its checksum is another)")
  if (header.toString("latin1", 257, 262) !== "ustar") throw invalid("it is no ustar archive")
  const fullName = text("prefix") === "" ? text("name") : `${text("prefix")}/${text("name")}`
  const name = fullName.replace(/^\.\/(?=.)/, "").replace(/\/$/, "")
  const type = header.toString("latin1", 156, 157)
  const kind = TYPES[type]
  if (kind === undefined) throw invalid(`${JSON.stringify(name)} is ${TYPE_NAMES[type] ?? `of unknown type ${JSON.stringify(type)}`}`)
  if (name !== "." || kind !== "folder") checkName(name)
  const mode = octal(text("mode"), "a mode")
  if ((mode & 0o7000) !== 0) throw invalid(`${JSON.stringify(name)} has a setuid, setgid or sticky bit`)
  const sizeBytes = octal(text("size"), "a size")
  if (kind === "folder" && sizeBytes !== 0) throw invalid(`the folder ${JSON.stringify(name)} has contents of its own`)
  return { name, kind, sizeBytes, executable: kind === "file" && (mode & 0o100) !== 0 }
}

/** Keeps the whole of an archive within bounds: number, sizes, and that no name comes twice. */
export class ArchiveCensus {
  readonly #kinds = new Map<string, ArchiveEntry["kind"]>()
  #entries = 0
  #totalBytes = 0

  /** Counts one more. @throws {FnError} INVALID_ARTIFACT */
  add(entry: ArchiveEntry): void {
    if (++this.#entries > ARCHIVE_LIMITS.entries) throw invalid(`it has more than ${ARCHIVE_LIMITS.entries} entries`)
    this.#totalBytes += entry.sizeBytes
    if (this.#totalBytes > ARCHIVE_LIMITS.totalBytes) throw invalid(`its files are larger than ${ARCHIVE_LIMITS.totalBytes} bytes together`)
    const parts = entry.name.split("/")
    for (let length = 1; length < parts.length; length++) this.#claim(parts.slice(0, length).join("/"), "folder", entry.name)
    this.#claim(entry.name, entry.kind, entry.name)
  }

  /** Names that differ in case or composition alone are one file on some disks: the second would replace the first. */
  #claim(name: string, kind: ArchiveEntry["kind"], of: string): void {
    const key = name.normalize("NFC").toLowerCase()
    const taken = this.#kinds.get(key)
    if (taken !== undefined && (kind === "file" || taken === "file"))
      throw invalid(`${JSON.stringify(of)} is in it twice, or as file and folder`)
    this.#kinds.set(key, kind)
  }
}

/** The error for an archive that is not to be unpacked. */
export function invalid(why: string, cause?: unknown): FnError {
  return FnError.of("INVALID_ARTIFACT", `the archive is refused: ${why}`, cause === undefined ? {} : { cause })
}

function checkName(name: string): void {
  const shown = JSON.stringify(name)
  if (name === "") throw invalid("an entry has no name")
  if (Buffer.byteLength(name) > ARCHIVE_LIMITS.nameBytes) throw invalid(`${shown} is longer than ${ARCHIVE_LIMITS.nameBytes} bytes`)
  if (name.startsWith("/")) throw invalid(`${shown} is an absolute path`)
  // biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is looked for
  if (/[\u0000-\u001f\u007f\\]/.test(name)) throw invalid(`${shown} has a control character or backslash in its name`)
  const parts = name.split("/")
  if (parts.length > ARCHIVE_LIMITS.depth) throw invalid(`${shown} is more than ${ARCHIVE_LIMITS.depth} folders deep`)
  if (parts.some((part) => part === "" || part === "." || part === "..")) throw invalid(`${shown} is no plain path below the archive`)
}

/** A name of more than 100 bytes is cut at a slash; the front goes into another field. */
function splitName(name: string): { prefix: Buffer; name: Buffer } {
  const bytes = Buffer.from(name, "utf8")
  if (bytes.length <= FIELD.name[1]) return { prefix: Buffer.alloc(0), name: bytes }
  for (let at = bytes.indexOf("/"); at !== -1; at = bytes.indexOf("/", at + 1)) {
    if (at <= FIELD.prefix[1] && bytes.length - at - 1 <= FIELD.name[1])
      return { prefix: bytes.subarray(0, at), name: bytes.subarray(at + 1) }
  }
  throw invalid(`${JSON.stringify(name)} does not fit: a file's own name has 100 bytes at most`)
}

function textOf(header: Buffer, [at, length]: readonly [number, number]): string {
  const field = header.subarray(at, at + length)
  const end = field.indexOf(0)
  try {
    return utf8.decode(end === -1 ? field : field.subarray(0, end))
  } catch (cause) {
    throw invalid("a name is no UTF-8 text", cause)
  }
}

function octal(text: string, what: string): number {
  const digits = text.trim()
  if (!/^[0-7]{1,12}$/.test(digits)) throw invalid(`${what} in it is no octal number`)
  return Number.parseInt(digits, 8)
}

/** The sum of all bytes, those of the checksum itself counted as spaces. */
function checksumOf(header: Buffer): number {
  const [at, length] = FIELD.checksum
  let sum = 0
  for (let i = 0; i < BLOCK_BYTES; i++) sum += i >= at && i < at + length ? 0x20 : (header[i] as number)
  return sum
}
