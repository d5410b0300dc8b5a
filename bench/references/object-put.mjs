import { jetstream } from "@nats-io/jetstream"
import { Objm } from "@nats-io/obj"
import { checkEqual } from "../measure/payload.mjs"

/** A bucket of the object store client with its defaults; `putMs(name, bytes)` is how long its put takes, checked by its digest's length. */
export async function openObjectStore(nc, bucket) {
  const store = await new Objm(jetstream(nc)).create(bucket)
  return {
    async putMs(name, bytes) {
      const startedAt = performance.now()
      const info = await store.put({ name }, readableOf(bytes))
      const ms = performance.now() - startedAt
      checkEqual(info.size, bytes.length, "the object store")
      await store.delete(name)
      return ms
    },
  }
}

function readableOf(bytes) {
  return new ReadableStream({
    start(controller) {
      controller.enqueue(bytes)
      controller.close()
    },
  })
}
