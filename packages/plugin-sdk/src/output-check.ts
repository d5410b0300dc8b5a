import { acceptsType, type EventInit, FnError, type HandlerOutput } from "@fn/core"
import type { StandardSchema } from "./standard-schema.js"
import { validateDataNow } from "./validation.js"

/** Holds a handler to its `emits`: types, and the data of those that have a schema. */
export class OutputCheck {
  readonly #fnName: string
  readonly #emits: readonly string[] | undefined
  readonly #schemas: ReadonlyMap<string, StandardSchema>

  constructor(fnName: string, emits: readonly string[] | undefined, schemas: ReadonlyMap<string, StandardSchema>) {
    this.#fnName = fnName
    this.#emits = emits
    this.#schemas = schemas
  }

  /**
   * What `handler` returns, every event of it checked.
   * @throws {FnError} failed_precondition TYPE_NOT_EMITTED, or BAD_OUTPUT for data that does not fit (also when `create` said so in the handler)
   */
  check(handler: () => HandlerOutput | Promise<HandlerOutput>): HandlerOutput | Promise<HandlerOutput> {
    try {
      const output = handler()
      if (isPromise(output)) return this.#checkLater(output)
      return this.#checkOutput(output)
    } catch (thrown) {
      throw this.#ownFault(thrown)
    }
  }

  async #checkLater(output: Promise<HandlerOutput>): Promise<HandlerOutput> {
    try {
      return this.#checkOutput(await output)
    } catch (thrown) {
      throw this.#ownFault(thrown)
    }
  }

  #checkOutput(output: HandlerOutput): HandlerOutput {
    if (output === undefined || output === null || typeof output !== "object") return output
    if (Symbol.asyncIterator in output) return this.#checkStream(output)
    if (Array.isArray(output)) return output.map((event: EventInit) => this.#checkEvent(event))
    if (Symbol.iterator in output) return this.#checkEach(output)
    return this.#checkEvent(output)
  }

  async *#checkStream(output: AsyncIterable<EventInit>): AsyncGenerator<EventInit> {
    try {
      for await (const event of output) yield this.#checkEvent(event)
    } catch (thrown) {
      throw this.#ownFault(thrown)
    }
  }

  /** Lazily: who streams does not ask for the next event before it is wanted. */
  *#checkEach(output: Iterable<EventInit>): Generator<EventInit> {
    try {
      for (const event of output) yield this.#checkEvent(event)
    } catch (thrown) {
      throw this.#ownFault(thrown)
    }
  }

  #checkEvent<Event extends EventInit>(event: Event): Event {
    // What is no event at all is the platform's to refuse: outputToWire says BAD_OUTPUT.
    if (typeof event !== "object" || event === null || typeof event.type !== "string") return event
    if (this.#emits && (this.#emits.length === 0 || !acceptsType(this.#emits, event.type))) {
      throw FnError.of("TYPE_NOT_EMITTED", `function ${this.#fnName} emitted ${event.type}: ${emitsText(this.#emits)}`, {
        details: { type: event.type, emits: this.#emits },
      })
    }
    const schema = this.#schemas.get(event.type)
    if (schema) validateDataNow(schema, event.data, event.type, "sender")
    return event
  }

  /** Data the handler itself got wrong is its fault, not its caller's: INVALID_EVENT of the sender becomes BAD_OUTPUT. */
  #ownFault(thrown: unknown): unknown {
    if (!FnError.is(thrown) || thrown.reason !== "INVALID_EVENT" || thrown.details?.side !== "sender") return thrown
    return FnError.of("BAD_OUTPUT", `function ${this.#fnName} made an ${thrown.message}`, { cause: thrown, details: thrown.details })
  }
}

function emitsText(emits: readonly string[]): string {
  return emits.length === 0 ? "it declares that it emits nothing" : `it declares only ${emits.join(", ")}`
}

function isPromise(output: HandlerOutput | Promise<HandlerOutput>): output is Promise<HandlerOutput> {
  return typeof output === "object" && output !== null && "then" in output && typeof output.then === "function"
}
