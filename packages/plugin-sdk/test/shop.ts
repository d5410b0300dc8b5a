import { z } from "zod"
import { defineEvent, type EventType } from "../src/index.js"

/** Events the tests share. */
export const Placed: EventType<
  "shop.order.placed.v1",
  z.ZodObject<{ orderId: z.ZodString; tenant: z.ZodString; cents: z.ZodInt }>
> = defineEvent("shop.order.placed.v1", z.object({ orderId: z.string(), tenant: z.string(), cents: z.int() }))
export const Paid: EventType<"shop.order.paid.v1", z.ZodObject<{ orderId: z.ZodString; ref: z.ZodString }>> = defineEvent(
  "shop.order.paid.v1",
  z.object({ orderId: z.string(), ref: z.string() }),
)
export const Total: EventType<"shop.tenant.total.v1", z.ZodObject<{ tenant: z.ZodString; cents: z.ZodNumber }>> = defineEvent(
  "shop.tenant.total.v1",
  z.object({ tenant: z.string(), cents: z.number() }),
)
