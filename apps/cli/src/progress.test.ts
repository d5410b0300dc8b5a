import { describe, expect, test } from "@jest/globals"
import { createProgress } from "./progress.js"

function stream(
  isTTY: boolean,
  columns?: number,
): { written: string[]; stderr: { write(text: string): void; isTTY: boolean; columns?: number } } {
  const written: string[] = []
  return { written, stderr: { write: (text) => void written.push(text), isTTY, ...(columns === undefined ? {} : { columns }) } }
}

describe("progress", () => {
  test("on a terminal is one line that changes and is gone at the end", () => {
    const { written, stderr } = stream(true, 60)
    const progress = createProgress({ stderr, env: { NO_COLOR: "1" } }, { quiet: true })
    progress.step("uploading 1.0 MB")
    progress.fraction(0.5)
    progress.done()
    expect(written).toEqual([
      "\r\x1b[K⋯ uploading 1.0 MB",
      `\r\x1b[K⋯ uploading 1.0 MB ${"█".repeat(12)}${"░".repeat(12)} 50 %`,
      "\r\x1b[K",
    ])
  })

  test("never wraps a terminal's line, whatever width it claims to have", () => {
    for (const columns of [40, 0]) {
      const { written, stderr } = stream(true, columns)
      createProgress({ stderr, env: { NO_COLOR: "1" } }, { quiet: false }).step("x".repeat(200))
      expect((written[0] as string).length - "\r\x1b[K".length).toBeLessThanOrEqual(columns || 80)
    }
  })

  test("elsewhere is a line per step, and nothing when quiet", () => {
    const { written, stderr } = stream(false)
    const progress = createProgress({ stderr, env: {} }, { quiet: false })
    progress.step("bundling")
    progress.fraction(0.5)
    progress.done()
    expect(written).toEqual(["bundling\n"])
    const quiet = stream(false)
    createProgress({ stderr: quiet.stderr, env: {} }, { quiet: true }).step("bundling")
    expect(quiet.written).toEqual([])
  })
})
