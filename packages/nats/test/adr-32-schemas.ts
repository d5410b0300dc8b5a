/** JSON Schemas of the three discovery answers, written from ADR-32. Every field of the ADR is required: strict clients fail without. */

const text = { type: "string" } as const
const strings = { type: "object", additionalProperties: text } as const
const count = { type: "integer", minimum: 0 } as const
const name = { type: "string", pattern: "^[a-zA-Z0-9_-]+$" } as const
const semver = { type: "string", pattern: "^\\d+\\.\\d+\\.\\d+(-[0-9A-Za-z.-]+)?(\\+[0-9A-Za-z.-]+)?$" } as const
const identity = { name, id: { type: "string", minLength: 1 }, version: semver, metadata: strings } as const

function answer(type: string, fields: Readonly<Record<string, unknown>>): object {
  const properties = { type: { const: `io.nats.micro.v1.${type}` }, ...identity, ...fields }
  return { type: "object", properties, required: Object.keys(properties), additionalProperties: false }
}

function list(fields: Readonly<Record<string, unknown>>): object {
  return { type: "array", items: { type: "object", properties: fields, required: Object.keys(fields), additionalProperties: false } }
}

const endpoint = { name, subject: { type: "string", pattern: "^[^\\s.]+(\\.[^\\s.]+)*$" }, queue_group: text }

export const PING_SCHEMA: object = answer("ping_response", {})

export const INFO_SCHEMA: object = answer("info_response", { description: text, endpoints: list({ ...endpoint, metadata: strings }) })

export const STATS_SCHEMA: object = answer("stats_response", {
  // RFC 3339, UTC
  started: { type: "string", pattern: "^\\d{4}-\\d{2}-\\d{2}T\\d{2}:\\d{2}:\\d{2}(\\.\\d+)?Z$" },
  endpoints: list({
    ...endpoint,
    num_requests: count,
    num_errors: count,
    last_error: text,
    processing_time: count,
    average_processing_time: count,
    data: {},
  }),
})
