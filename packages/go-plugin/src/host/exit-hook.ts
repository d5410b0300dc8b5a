/**
 * What must not outlive this process: plugins and their sockets.
 *
 * The kernel kills a plugin with its host where it can (@fn/process), but neither what the plugin started nor, elsewhere than on
 * Linux, the plugin itself. This runs on every end but SIGKILL and unhandled signals.
 */
const endings = new Set<() => void>()
let installed = false

/** Has `end` called, synchronously, when this process exits; the result takes that back. */
export function onProcessExit(end: () => void): () => void {
  if (!installed) process.on("exit", endAll)
  installed = true
  endings.add(end)
  return () => endings.delete(end)
}

function endAll(): void {
  for (const end of endings) end()
}
