import { type AttributeValue, type CloudEvent, type EventInit, FnError } from "@fn/core"
import type { SchemaInput, SchemaOutput, StandardSchema } from "./standard-schema.js"
import { validateDataNow } from "./validation.js"

/** An event whose type and data are known. */
export type TypedEvent<Type extends string = string, Data = unknown> = CloudEvent<Data> & { readonly type: Type; readonly data: Data }

/** An event to send: what is left out (`id`, `source`, `time`) is filled in on the way. */
export type TypedEventInit<Type extends string = string, Data = unknown> = EventInit<Data> & { readonly type: Type; readonly data: Data }

/** Attributes an author may set beside type and data. */
export interface EventExtras {
  readonly id?: string
  readonly source?: string
  readonly subject?: string
  /** RFC 3339. */
  readonly time?: string
  readonly datacontenttype?: string
  readonly dataschema?: string
  readonly type?: never
  readonly data?: never
  readonly specversion?: never
  readonly [extension: string]: AttributeValue | undefined
}

/** One type of event and the schema of its data: what senders and receivers share. */
export interface EventType<Type extends string = string, Schema extends StandardSchema = StandardSchema> {
  readonly type: Type
  readonly schema: Schema
  /** An event of this type. @throws {FnError} invalid_argument INVALID_EVENT naming the fields that are wrong */
  create(data: SchemaInput<Schema>, attributes?: EventExtras): TypedEventInit<Type, SchemaInput<Schema>>
  /** Whether `event` has this type. Its data is what the schema gives only where it was checked: in a handler, or by {@link parse}. */
  is<E extends { readonly type: string }>(event: E): event is E & TypedEvent<Type, SchemaOutput<Schema>>
  /** `event` with its data checked. @throws {FnError} invalid_argument TYPE_NOT_ACCEPTED or INVALID_EVENT */
  parse(event: EventInit): TypedEvent<Type, SchemaOutput<Schema>>
}

/**
 * Declares a type of event.
 *
 * `create` sends the data as it was given: a schema that transforms does so at the receiver.
 */
export function defineEvent<const Type extends string, Schema extends StandardSchema>(type: Type, schema: Schema): EventType<Type, Schema> {
  if (typeof type !== "string" || type === "") throw FnError.of("INVALID_DEFINITION", "an event type must be a non-empty string")
  return {
    type,
    schema,
    create(data, attributes) {
      validateDataNow(schema, data, type, "sender")
      return { ...attributes, specversion: "1.0", type, data }
    },
    is<E extends { readonly type: string }>(event: E): event is E & TypedEvent<Type, SchemaOutput<Schema>> {
      return event.type === (type as string)
    },
    parse(event) {
      if (event.type !== (type as string)) throw FnError.of("TYPE_NOT_ACCEPTED", `expected an event of type ${type}, not ${event.type}`)
      const data = validateDataNow(schema, event.data, type, "receiver")
      return { ...event, data } as TypedEvent<Type, SchemaOutput<Schema>>
    },
  }
}
