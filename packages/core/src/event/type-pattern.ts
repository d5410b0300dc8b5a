/** Whether `type` is among `patterns`: event types, or their beginnings followed by `*`. No patterns at all accept everything. */
export function acceptsType(patterns: readonly string[] | undefined, type: string): boolean {
  if (patterns === undefined || patterns.length === 0) return true
  return patterns.some((pattern) => (pattern.endsWith("*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type))
}
