import { randomFillSync } from "node:crypto"
import { ratioOf, round } from "../measure/rounds.mjs"
import { atLeast, figureOf } from "../measure/row.mjs"
import { median } from "../measure/statistics.mjs"
import { startPlatform } from "../product/platform.mjs"
import { openObjectStore } from "../references/object-put.mjs"

const ROUNDS = 5
const SIZE_MB = 50

/** The deploy of a large artifact, to the moment at which all hosts serve it, against a put by the object store's client. */
export const artifact = {
  rows: () => [
    {
      name: "artifact",
      goal: atLeast(3),
      reference: "object-put",
      policy: "none: nothing runs",
      durability: "file storage, one server; the digest is checked",
    },
  ],
  async run(lab, _rows, { rounds = ROUNDS, scale, onProgress }) {
    const platform = await lab.once("artifacts", () => startPlatform(lab))
    const store = await openObjectStore(platform.nc, "bench")
    const bytes = Buffer.alloc(Math.ceil(SIZE_MB * scale) * 1024 * 1024)
    const [deploys, puts] = [[], []]
    for (let n = 0; n < rounds; n++) {
      onProgress(`artifact: round ${n + 1} of ${rounds}`)
      // Nobody has seen these bytes: what is stored already would not be sent again.
      randomFillSync(bytes)
      const measures = [
        async () => deploys.push(await deployMs(platform, bytes, n)),
        async () => puts.push(await store.putMs(`${n}`, bytes)),
      ]
      for (const measure of n % 2 === 0 ? measures : measures.reverse()) await measure()
    }
    const megabytes = bytes.length / 1024 / 1024
    const speed = (ms) => figureOf((megabytes / median(ms)) * 1000, "MB/s")
    return [
      {
        ...ratioOf(puts.map((ms, n) => ms / deploys[n])),
        figure: speed(deploys),
        referenceFigure: speed(puts),
        p50us: round(median(deploys) * 1000, 0),
        sizeBytes: bytes.length,
        rounds,
      },
    ]
  },
}

async function deployMs({ registry }, bytes, n) {
  const startedAt = performance.now()
  const { hosts } = await registry.deploy(
    { name: `artifact-${n}`, language: "shell", runtime: "command", command: ["{artifact}"] },
    { artifact: bytes, fileName: "program" },
  )
  const ms = performance.now() - startedAt
  if (hosts.length !== 1 || !hosts[0].served) throw new Error(`the host does not serve it: ${JSON.stringify(hosts)}`)
  return ms
}
