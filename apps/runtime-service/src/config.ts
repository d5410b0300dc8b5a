import { homedir } from "node:os"
import { join } from "node:path"
import { type AppSpec, LOG_OPTIONS, type LogSettings } from "@fn/app"
import { isCallbackHost, type QueueDefaults, VERSION } from "@fn/runtime"
import { z } from "zod"
import { ISOLATION_OPTIONS, type IsolationConfig } from "./isolation-config.js"
import { bool, list } from "./option-values.js"
import { queueConfigSchema } from "./queue-config.js"

/** Settings of the runtime-service, beside NATS. */
export interface RuntimeServiceSettings extends LogSettings, IsolationConfig {
  /** Folder for artifacts. Default `~/.local/share/fn`. */
  readonly dataDir: string
  /** Address of the health endpoints. Default 127.0.0.1. */
  readonly healthHost: string
  /** Port of the health endpoints, 0 for a free one. Default 8081. */
  readonly healthPort: number
  /** Id of the host. Default: a new one per start. */
  readonly host?: string
  /** ES modules whose exports are builtin functions. */
  readonly builtins: readonly string[]
  /** How long a drain may take, ms. Default 20 000. */
  readonly drainMs: number
  /** Keep a pre-started module process. Default true. */
  readonly spares: boolean
  /** An instance without calls for this long is stopped, ms. Default 300 000. */
  readonly idleMs: number
  /** Calls that may wait for a slot, per slot. Default 10. */
  readonly waitFactor: number
  /** A version that fails so often in a row is given a rest; 0 for never. Default 5. */
  readonly circuitFailures: number
  /** How long a cancelled execution may go on before its instance is given up, ms. Default 1000. */
  readonly cancelGraceMs: number
  /** Settings of queues that functions do not set themselves. */
  readonly queue: QueueDefaults
  /** Hosts that results may be posted to. Default: none. */
  readonly callbackAllow: readonly string[]
  /** Also hosts at loopback, private and link-local addresses. Default false. */
  readonly callbackAllowPrivate: boolean
  /** Callbacks to functions of other namespaces. Default false. */
  readonly callbackCrossNamespace: boolean
}

const wholeMs = z.coerce.number().int().min(0).max(86_400_000)
const port = z.coerce.number().int().min(0).max(65_535)

/** The configuration of `fn-runtime-service`. docs/defaults.md is made from it. */
export const RUNTIME_SERVICE: AppSpec = {
  name: "fn-runtime-service",
  description: "Runs fn functions: one host of the platform.",
  version: VERSION,
  options: [
    {
      key: "dataDir",
      value: "folder",
      description: "folder for artifacts (default ~/.local/share/fn)",
      schema: z.string().min(1).default(join(homedir(), ".local/share/fn")),
    },
    {
      key: "healthHost",
      value: "address",
      description: "address of /healthz, /readyz, /metrics (default 127.0.0.1)",
      schema: z.string().min(1).default("127.0.0.1"),
    },
    {
      key: "healthPort",
      value: "port",
      description: "port of the health endpoints, 0 for a free one (default 8081)",
      schema: port.default(8081),
    },
    {
      key: "host",
      value: "id",
      description: "id of this host (default: a new one)",
      schema: z
        .string()
        .regex(/^[A-Za-z0-9_-]{1,64}$/, "it must match [A-Za-z0-9_-]{1,64}")
        .optional(),
    },
    { key: "builtins", value: "files", description: "ES modules with builtin functions, separated by commas", schema: list.default([]) },
    { key: "drainMs", value: "ms", description: "how long a drain may take (default 20000)", schema: wholeMs.default(20_000) },
    {
      key: "spares",
      value: "bool",
      description: "keep a pre-started module process (default true)",
      schema: bool.default(true),
    },
    {
      key: "idleMs",
      value: "ms",
      description: "stop an instance that had no call for so long (default 300000)",
      schema: wholeMs.default(300_000),
    },
    {
      key: "callbackAllow",
      value: "hosts",
      description: "hosts that results may be posted to, separated by commas: host[:port], *.example.com, * (default none)",
      schema: list.default([]).refine((hosts) => hosts.every(isCallbackHost), "each must be host, host:port, *.example.com or *"),
    },
    {
      key: "callbackAllowPrivate",
      value: "bool",
      description: "let callbacks reach loopback, private and link-local addresses too (default false)",
      schema: bool.default(false),
    },
    {
      key: "callbackCrossNamespace",
      value: "bool",
      description: "let callbacks invoke functions of other namespaces (default false)",
      schema: bool.default(false),
    },
    {
      key: "waitFactor",
      value: "n",
      description: "calls that may wait on this host for a slot, per slot (default 10); more are stored in the queue",
      schema: z.coerce.number().min(0).max(10_000).default(10),
    },
    {
      key: "circuitFailures",
      value: "n",
      description: "failures in a row after which a version gets no calls here for a while, 0 for never (default 5)",
      schema: z.coerce.number().int().min(0).max(1_000_000).default(5),
    },
    {
      key: "cancelGraceMs",
      value: "ms",
      description: "how long a cancelled execution may go on before its instance is given up (default 1000)",
      schema: wholeMs.default(1_000),
    },
    {
      key: "queue",
      value: "json",
      description: "settings of the durable queue, for all functions and by language (a mapping in the file)",
      schema: queueConfigSchema,
    },
    ...ISOLATION_OPTIONS,
    ...LOG_OPTIONS,
  ],
}
