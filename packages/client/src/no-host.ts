import { FnError } from "@fn/core"
import type { HostAnswer } from "./hosts.js"

/** What a host's answer says about one function. */
export function standing(answer: HostAnswer, key: string): { served: boolean; reason: string; message: string } {
  if (answer.kind === "gone") return { served: false, reason: "HOST_LOST", message: "the host went away" }
  if (answer.kind === "silent") return { served: false, reason: "DEADLINE_EXCEEDED", message: "the host does not answer" }
  const { status } = answer
  if (status.phase === "draining" || status.phase === "closed")
    return { served: false, reason: "HOST_DRAINING", message: "the host is draining" }
  const found = status.functions.find((candidate) => candidate.function === key)
  if (!found) return { served: false, reason: "FUNCTION_NOT_FOUND", message: "the host has not seen the function yet" }
  const { circuit } = found
  if (found.served && circuit?.phase === "open") {
    const message = `it does not work there, and is tried again at ${circuit.retryAt}: ${circuit.error.reason}: ${circuit.error.message}`
    return { served: false, reason: "CIRCUIT_OPEN", message }
  }
  if (found.served) return { served: true, reason: "", message: "it serves the function" }
  return { served: false, reason: found.error?.reason ?? "NO_HOST", message: found.error?.message ?? "it does not say why" }
}

/** `unavailable NO_HOST` with the reason of every host that was asked. */
export function noHost(key: string, answers: ReadonlyMap<string, HostAnswer>): FnError {
  if (answers.size === 0)
    return FnError.of("NO_HOST", `no host can run ${key}: no runtime-service is connected to this NATS`, {
      details: { function: key, hosts: [] },
    })
  const hosts = [...answers].map(([host, answer]) => {
    const { reason, message } = standing(answer, key)
    return { host, reason, message }
  })
  const why = hosts.map(({ host, reason, message }) => `${host}: ${reason || "READY"}: ${message}`).join("; ")
  return FnError.of("NO_HOST", `no host can run ${key}: ${why}`, { details: { function: key, hosts } })
}
