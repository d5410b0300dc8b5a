/**
 * Shows one line on stderr while `work` runs: on a terminal a line that counts the seconds and is replaced by the outcome,
 * elsewhere one line at the start and one at the end. Quiet shows nothing unless it fails.
 */
export async function withProgress(label, work, { quiet = false } = {}) {
  const { stderr } = process
  const startedAt = Date.now()
  const seconds = () => ((Date.now() - startedAt) / 1000).toFixed(0)
  const live = stderr.isTTY === true && !quiet
  const show = () => stderr.write(`\r\x1b[K${label} … ${seconds()} s`)
  if (live) show()
  else if (!quiet) stderr.write(`${label} …\n`)
  const timer = live ? setInterval(show, 1000) : undefined
  try {
    const result = await work()
    if (!quiet) stderr.write(`${live ? "\r\x1b[K" : ""}${label}: done in ${((Date.now() - startedAt) / 1000).toFixed(1)} s\n`)
    return result
  } catch (error) {
    stderr.write(`${live ? "\r\x1b[K" : ""}${label}: failed after ${seconds()} s\n`)
    throw error
  } finally {
    clearInterval(timer)
  }
}
