/** The operator's settings of queues, as the configuration file has them under `queue`. docs/operations.md#queue */
import { LANGUAGES, messageOf } from "@fn/core"
import { formatIssue, type QueueSettings, queueSettingsSchema } from "@fn/registry"
import type { QueueDefaults } from "@fn/runtime"
import { z } from "zod"

const UNIT_MS: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 }

/** Text such as `30s` or `24h`, as ms. */
const durationText = z.string().regex(/^\d+(ms|s|m|h|d)$/, "it must be a duration such as 30s or 24h")
const durationMs = durationText.transform((text) => Number.parseInt(text, 10) * (UNIT_MS[text.replace(/\d+/, "")] as number))

/** Settings in ms as a definition has them, or as durations under the names people know them by. */
const settingsSchema = z
  .looseObject({ maxAge: durationMs.optional(), ackWait: durationMs.optional() })
  .transform(({ maxAge, ackWait, ...settings }) => ({
    ...(maxAge === undefined ? {} : { maxAgeMs: maxAge }),
    ...(ackWait === undefined ? {} : { ackWaitMs: ackWait }),
    ...settings,
  }))
  .transform((settings, issues): QueueSettings => {
    const parsed = queueSettingsSchema.safeParse(settings)
    if (parsed.success) return parsed.data
    for (const issue of parsed.error.issues) issues.addIssue({ code: "custom", message: formatIssue(issue) })
    return z.NEVER
  })

const GROUPS = LANGUAGES.map((language) => `function.${language}`)

const queueSchema = z
  .strictObject({
    settings: settingsSchema.optional(),
    groups: z.array(z.looseObject({ name: z.enum(GROUPS as [string, ...string[]]) })).optional(),
  })
  .transform(({ settings, groups = [] }, issues): QueueDefaults => {
    const byName: Record<string, QueueSettings> = {}
    for (const { name, ...group } of groups) {
      const parsed = settingsSchema.safeParse(group)
      if (parsed.success) byName[name] = parsed.data
      else for (const issue of parsed.error.issues) issues.addIssue({ code: "custom", message: `${name}: ${formatIssue(issue)}` })
    }
    return { ...(settings ? { platform: settings } : {}), ...(groups.length > 0 ? { groups: byName } : {}) }
  })

/** `queue` as a mapping in the file, or as JSON in a flag or variable. */
export const queueConfigSchema: z.ZodType<QueueDefaults> = z
  .unknown()
  .transform((given, issues): unknown => {
    if (typeof given !== "string") return given ?? {}
    try {
      return JSON.parse(given)
    } catch (thrown) {
      issues.addIssue({ code: "custom", message: `it must be JSON: ${messageOf(thrown)}` })
      return z.NEVER
    }
  })
  .pipe(queueSchema)
