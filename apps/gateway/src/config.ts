import { type AppSpec, LOG_OPTIONS, type LogSettings } from "@fn/app"
import { z } from "zod"
import { VERSION } from "./version.js"

/** Settings of the gateway, beside NATS. */
export interface GatewaySettings extends LogSettings {
  /** Address to listen on. Default 127.0.0.1. */
  readonly httpHost: string
  /** Port to listen on, 0 for a free one. Default 8080. */
  readonly httpPort: number
  /** Largest body in bytes. Default: the NATS server's max_payload. */
  readonly bodyLimitBytes?: number
  /** Time in which a request's headers must have come, ms. Default 10 000. */
  readonly headersTimeoutMs: number
  /** Time in which a whole request must have come, ms. Default 60 000. */
  readonly requestTimeoutMs: number
  /** How long an idle connection is kept, ms. Default 72 000. */
  readonly keepAliveMs: number
  /** How long a drain may take, ms. Default 20 000. */
  readonly drainMs: number
}

const port = z.coerce.number().int().min(0).max(65_535)
const wholeMs = z.coerce.number().int().min(1).max(86_400_000)
/** NATS servers refuse to take more. */
const MAX_BODY_BYTES = 64 * 1024 * 1024

/** The configuration of `fn-gateway`. docs/defaults.md is made from it. */
export const GATEWAY: AppSpec = {
  name: "fn-gateway",
  description: "HTTP in front of fn functions.",
  version: VERSION,
  options: [
    {
      key: "httpHost",
      value: "address",
      description: "address to listen on (default 127.0.0.1)",
      schema: z.string().min(1).default("127.0.0.1"),
    },
    { key: "httpPort", value: "port", description: "port to listen on, 0 for a free one (default 8080)", schema: port.default(8080) },
    {
      key: "bodyLimitBytes",
      value: "bytes",
      description: "largest body (default: the NATS server's max_payload)",
      schema: z.coerce.number().int().min(1).max(MAX_BODY_BYTES).optional(),
    },
    {
      key: "headersTimeoutMs",
      value: "ms",
      description: "time in which the headers of a request must have come (default 10000)",
      schema: wholeMs.default(10_000),
    },
    {
      key: "requestTimeoutMs",
      value: "ms",
      description: "time in which a whole request must have come (default 60000)",
      schema: wholeMs.default(60_000),
    },
    {
      key: "keepAliveMs",
      value: "ms",
      description: "how long an idle connection is kept (default 72000)",
      schema: wholeMs.default(72_000),
    },
    { key: "drainMs", value: "ms", description: "how long a drain may take (default 20000)", schema: wholeMs.default(20_000) },
    ...LOG_OPTIONS,
  ],
}
