/** Values of options as flags, variables and the file give them. */
import { z } from "zod"

/** `true`, or text such as `yes` and `off`. */
export const bool: z.ZodType<boolean> = z.union([z.boolean(), z.stringbool()])

/** A list, or text with commas between its parts. */
export const list: z.ZodType<string[]> = z.union([
  z.string().transform((text) =>
    text
      .split(",")
      .map((part) => part.trim())
      .filter(Boolean),
  ),
  z.array(z.string()),
])
