import { execFile } from "node:child_process"
import { chmod, link, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { promisify } from "node:util"
import { afterEach, beforeEach, describe, expect, test } from "@jest/globals"
import { ARCHIVE_LIMITS, type ArchiveEntry, encodeHeader } from "./entry.js"
import { filesToPack, packArchive } from "./pack.js"
import { unpackArchive } from "./unpack.js"

const run = promisify(execFile)
let folder: string

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "fn-archive-"))
})
afterEach(async () => {
  await rm(folder, { recursive: true, force: true })
})

async function write(files: Readonly<Record<string, string>>, into = "source"): Promise<string> {
  for (const [name, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, into, name)), { recursive: true })
    await writeFile(join(folder, into, name), text)
  }
  return join(folder, into)
}

async function pack(source: string, name = "a.tar"): Promise<string> {
  const path = join(folder, name)
  await packArchive(await filesToPack(source), path)
  return path
}

/** An archive of these headers, each with contents of its size unless the header says otherwise. */
async function craft(...parts: (Partial<ArchiveEntry> & { name: string; edit?: (header: Buffer) => void })[]): Promise<string> {
  const blocks = parts.flatMap(({ edit, ...part }) => {
    const entry: ArchiveEntry = { kind: "file", sizeBytes: 0, executable: false, ...part }
    const header = encodeHeader({ ...entry, name: "placeholder" })
    header.fill(0, 0, 100)
    header.write(entry.name, 0)
    edit?.(header)
    seal(header)
    return [header, Buffer.alloc(Math.ceil(Math.min(entry.sizeBytes, 1 << 20) / 512) * 512, "x")]
  })
  const path = join(folder, "crafted.tar")
  await writeFile(path, Buffer.concat([...blocks, Buffer.alloc(1024)]))
  return path
}

function seal(header: Buffer): void {
  header.fill(" ", 148, 156)
  const sum = header.reduce((all, byte) => all + byte, 0)
  header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
}

async function refusal(archive: string): Promise<string> {
  const before = await readdir(folder)
  const error = (await unpackArchive(archive, join(folder, "out")).catch((thrown: unknown) => thrown)) as {
    reason?: string
    message: string
  }
  expect(error.reason).toBe("INVALID_ARTIFACT")
  // Nothing is left on disk, neither where it was to go nor beside it.
  expect(await readdir(folder)).toEqual(before)
  return error.message
}

describe("R-RG-6: packing a folder", () => {
  test("the same files give the same bytes, whenever and in whatever order they were made", async () => {
    const one = await write({ "main.rb": "puts 1", "lib/deep/a.rb": "a", "lib/b.rb": "b" }, "one")
    const two = await write({ "lib/b.rb": "b", "lib/deep/a.rb": "a", "main.rb": "puts 1", ".git/HEAD": "x", "lib/.DS_Store": "y" }, "two")
    await chmod(join(one, "main.rb"), 0o755)
    await chmod(join(two, "main.rb"), 0o700)
    expect(await readFile(await pack(two, "two.tar"))).toEqual(await readFile(await pack(one, "one.tar")))
  })

  test("any tar reads it, and what comes out again is what went in", async () => {
    const long = `${"folder-with-a-long-name/".repeat(5)}${"x".repeat(90)}.txt`
    const source = await write({
      "run.sh": "#!/bin/sh\n",
      "empty.txt": "",
      "grüezi/ünï.txt": "äöü",
      [long]: "deep",
      "big.bin": "b".repeat(1_000_001),
    })
    await chmod(join(source, "run.sh"), 0o755)
    const archive = await pack(source)
    const listed = (await run("tar", ["-tvf", archive])).stdout
    expect(listed).toMatch(/^-rwxr-xr-x 0\/0 .* run\.sh$/m)
    expect(listed).toContain(long)
    await unpackArchive(archive, join(folder, "out"))
    await run("diff", ["-r", source, join(folder, "out")])
    expect((await stat(join(folder, "out/run.sh"))).mode & 0o777).toBe(0o755)
    expect((await stat(join(folder, "out/empty.txt"))).mode & 0o111).toBe(0)
  })

  test("links inside are packed as what they lead to; those that lead out are refused by name", async () => {
    const source = await write({ "lib/a.rb": "a" })
    await symlink("lib/a.rb", join(source, "alias.rb"))
    await unpackArchive(await pack(source), join(folder, "out"))
    expect(await readFile(join(folder, "out/alias.rb"), "utf8")).toBe("a")
    await symlink("/etc/hostname", join(source, "out.txt"))
    await expect(filesToPack(source)).rejects.toMatchObject({
      reason: "INVALID_ARTIFACT",
      message: expect.stringContaining("out.txt is a link that leads out"),
    })
    await rm(join(source, "out.txt"))
    await symlink("gone", join(source, "broken"))
    await expect(filesToPack(source)).rejects.toThrow("broken is a link to nothing")
  })

  test("an empty folder, and a name that does not fit, are refused", async () => {
    await mkdir(join(folder, "empty"))
    await expect(filesToPack(join(folder, "empty"))).rejects.toThrow("there is no file")
    const source = await write({ ["y".repeat(101)]: "" })
    await expect(pack(source)).rejects.toThrow("does not fit")
  })

  test("a file that changes while it is packed is noticed", async () => {
    const source = await write({ "a.txt": "before" })
    const files = await filesToPack(source)
    await writeFile(join(source, "a.txt"), "afterwards")
    await expect(packArchive(files, join(folder, "a.tar"))).rejects.toThrow("a.txt changed while it was packed")
  })
})

describe("R-SEC-3: unpacking an archive of strangers", () => {
  test("one made by tar itself is fine", async () => {
    const source = await write({ "main.php": "<?php", "lib/a.php": "a" })
    await run("tar", ["--format=ustar", "-cf", join(folder, "tar.tar"), "-C", source, "."])
    await unpackArchive(join(folder, "tar.tar"), join(folder, "out"))
    await run("diff", ["-r", source, join(folder, "out")])
  })

  test.each([
    ["a path that climbs", "../evil", /no plain path/],
    ["a path that climbs in the middle", "a/../../evil", /no plain path/],
    ["a dot in the middle", "a/./b", /no plain path/],
    ["an absolute path", "/tmp/evil", /absolute/],
    ["a backslash", "a\\b", /backslash/],
    ["a line break", "a\nb", /control character/],
    ["no name", "", /no name/],
    ["the root as a file", ".", /no plain path/],
    ["a name that is too deep", `${"a/".repeat(ARCHIVE_LIMITS.depth)}b`, /folders deep/],
  ])("%s is refused", async (_, name, why) => {
    expect(await refusal(await craft({ name: "first.txt", sizeBytes: 3 }, { name }))).toMatch(why)
  })

  test.each([
    ["a hard link", "1"],
    ["a symbolic link", "2"],
    ["a character device", "3"],
    ["a block device", "4"],
    ["a named pipe", "6"],
    ["a pax header", "x"],
    ["a GNU long name", "L"],
    ["of unknown type", "Z"],
  ])("%s is refused", async (what, type) => {
    const archive = await craft({ name: "first.txt", sizeBytes: 3 }, { name: "second", edit: (header) => header.write(type, 156) })
    expect(await refusal(archive)).toContain(what)
  })

  test("real links made by tar are refused", async () => {
    const source = await write({ "a.txt": "a" })
    await symlink("/etc/passwd", join(source, "passwd"))
    await run("tar", ["--format=ustar", "-cf", join(folder, "links.tar"), "-C", source, "passwd"])
    expect(await refusal(join(folder, "links.tar"))).toContain("a symbolic link")
    await link(join(source, "a.txt"), join(source, "b.txt"))
    await run("tar", ["--format=ustar", "-cf", join(folder, "links.tar"), "-C", source, "a.txt", "b.txt"])
    expect(await refusal(join(folder, "links.tar"))).toContain("a hard link")
  })

  test.each([
    ["the same name", "a.txt", "a.txt"],
    ["names that differ in case", "Read.me", "READ.ME"],
    ["names that differ in composition", "u\u0308.txt", "\u00fc.txt"],
    ["a file where a folder is", "lib/a", "lib"],
    ["a folder where a file is", "lib", "lib/a"],
  ])("%s twice is refused", async (_, first, second) => {
    expect(await refusal(await craft({ name: first }, { name: second }))).toMatch(/twice/)
  })

  test("setuid, setgid and sticky bits are refused", async () => {
    for (const mode of ["0004755", "0002755", "0001755"])
      expect(await refusal(await craft({ name: "su", edit: (header) => header.write(mode, 100) }))).toContain("setuid")
  })

  test("sizes beyond the limits are refused before they are written", async () => {
    const huge = { name: "huge", edit: (header: Buffer) => header.write("77777777777\0", 124) }
    expect(await refusal(await craft(huge))).toContain("larger than")
    const many = Array.from({ length: ARCHIVE_LIMITS.entries + 1 }, () => ({
      name: "folder",
      kind: "folder" as const,
      edit: (header: Buffer) => header.write("5", 156),
    }))
    expect(await refusal(await craft(...many))).toContain(`more than ${ARCHIVE_LIMITS.entries} entries`)
  }, 60_000)

  test("damage is noticed: a changed header, a cut end, something behind the end, no archive at all", async () => {
    const whole = await readFile(await craft({ name: "a.txt", sizeBytes: 600 }))
    const path = join(folder, "damaged.tar")
    const changed = Buffer.from(whole)
    changed[3] = 0x41
    await writeFile(path, changed)
    expect(await refusal(path)).toContain("checksum")
    for (const length of [100, 512, 900, whole.length - 1024]) {
      await writeFile(path, whole.subarray(0, length))
      expect(await refusal(path)).toContain("cut short")
    }
    await writeFile(path, Buffer.concat([whole, Buffer.alloc(512, "x")]))
    expect(await refusal(path)).toContain("follows its end")
    await writeFile(path, Buffer.alloc(2048, "#!/bin/sh\n"))
    expect(await refusal(path)).toMatch(/octal|damaged/)
  })
})
