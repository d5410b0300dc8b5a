/** What an operator lets functions do: one option for the policy, the others for exceptions from it. docs/isolation.md#policies */
import { isIP } from "node:net"
import type { AppOption } from "@fn/app"
import { GUARANTEES, type Guarantee, type IsolationSettings } from "@fn/runtime"
import { z } from "zod"
import { bool, list } from "./option-values.js"

/** The settings of {@link ISOLATION_OPTIONS}. */
export interface IsolationConfig {
  /** Default `strict`. */
  readonly isolation: "strict" | "dev"
  /** Functions may ask for level `process`. Default false. */
  readonly isolationAllowProcess: boolean
  /** Functions may ask for `network: full`. Default false. */
  readonly isolationAllowFullNetwork: boolean
  /** Folders of which functions may be shown parts. Default none. */
  readonly isolationAllowFiles: readonly string[]
  /** Networks that are not public, and that functions may name all the same. Default none. */
  readonly isolationOpenNetworks: readonly string[]
  /** Guarantees for which a soft grade will do. Default none. */
  readonly isolationAcceptSoft: readonly Guarantee[]
  /** User numbers for functions, where the host is root. Default: of @fn/isolation. */
  readonly isolationUsers?: { readonly first: number; readonly count: number }
  /** Default: the bwrap on PATH. */
  readonly isolationBubblewrap?: string
}

const absolute = list.refine((paths) => paths.every((path) => path.startsWith("/")), "each must be an absolute path")
const networks = list.refine((all) => all.every(isNetwork), "each must be an address or a network, as 10.1.0.0/16")
const isGuarantee = (name: string): name is Guarantee => GUARANTEES.some((guarantee) => guarantee === name)
const guarantees = list.transform((names, issues): Guarantee[] => {
  for (const name of names)
    if (!isGuarantee(name))
      issues.addIssue({ code: "custom", message: `there is no guarantee ${name}; there are ${GUARANTEES.join(", ")}` })
  return names.filter(isGuarantee)
})
const users = z
  .string()
  .regex(/^\d{1,10}:\d{1,10}$/, "it must be first:count, as 1900000000:64000")
  .transform((text) => {
    const [first = 0, count = 0] = text.split(":").map(Number)
    return { first, count }
  })
  .refine(({ first, count }) => first > 0 && count > 0 && first + count <= 2 ** 32 - 1, "these are no user numbers")

/** How functions are isolated; every key begins with `isolation`. */
export const ISOLATION_OPTIONS: readonly AppOption[] = [
  {
    key: "isolation",
    value: "policy",
    description: "strict: functions run in sandboxes; dev: as processes of this user, for a NATS on this machine (default strict)",
    schema: z.enum(["strict", "dev"]).default("strict"),
  },
  {
    key: "isolationAllowProcess",
    value: "bool",
    description: "under strict: functions may ask for level process, in the file system and network of this host (default false)",
    schema: bool.default(false),
  },
  {
    key: "isolationAllowFullNetwork",
    value: "bool",
    description: "under strict: functions may ask for network full, NATS and all else this host reaches (default false)",
    schema: bool.default(false),
  },
  {
    key: "isolationAllowFiles",
    value: "folders",
    description: "under strict: folders that functions may ask to see parts of, separated by commas (default none)",
    schema: absolute.default([]),
  },
  {
    key: "isolationOpenNetworks",
    value: "networks",
    description: "networks that are not public and that functions may name all the same, as 10.1.0.0/16 (default none)",
    schema: networks.default([]),
  },
  {
    key: "isolationAcceptSoft",
    value: "guarantees",
    description: "under strict: guarantees that need not be kept by the kernel, as memory,cpu; fn doctor names them (default none)",
    schema: guarantees.default([]),
  },
  {
    key: "isolationUsers",
    value: "first:count",
    description: "user numbers for functions, where this host is root (default 1900000000:64000)",
    schema: users.optional(),
  },
  {
    key: "isolationBubblewrap",
    value: "path",
    description: "the bubblewrap to use (default: bwrap on PATH)",
    schema: z.string().startsWith("/", "it must be an absolute path").optional(),
  },
]

/** As the runtime takes them. */
export function isolationSettings(config: IsolationConfig): IsolationSettings {
  return {
    policy: config.isolation,
    allowProcess: config.isolationAllowProcess,
    allowFullNetwork: config.isolationAllowFullNetwork,
    allowFiles: config.isolationAllowFiles,
    acceptSoft: config.isolationAcceptSoft,
    openedNetworks: config.isolationOpenNetworks,
    ...(config.isolationUsers === undefined ? {} : { users: config.isolationUsers }),
    ...(config.isolationBubblewrap === undefined ? {} : { bubblewrap: config.isolationBubblewrap }),
  }
}

function isNetwork(text: string): boolean {
  const [address = "", prefix, more] = text.split("/")
  const longest = isIP(address) === 6 ? 128 : 32
  return isIP(address) > 0 && more === undefined && (prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= longest))
}
