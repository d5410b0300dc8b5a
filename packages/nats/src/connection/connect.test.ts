import { execFile } from "node:child_process"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { findOnPath } from "@fn/process"
import { describe, expect, test } from "@jest/globals"
import { errors, nkeys } from "@nats-io/transport-node"
import { operatorMode } from "../../test/jwt.js"
import { startFixture, tempDir, until } from "../../test/support.js"
import { connectNats } from "./connect.js"
import { fromNatsError } from "./errors.js"
import { watchConnection } from "./watch.js"

const USERS = `authorization { users: [ { user: ada, password: "s3:cret" } ] }`

describe("connectNats", () => {
  test("a server that is not there fails with NATS_UNREACHABLE naming the address", async () => {
    const failed = connectNats({ servers: "nats://127.0.0.1:1" })
    await expect(failed).rejects.toMatchObject({ code: "unavailable", reason: "NATS_UNREACHABLE" })
    await expect(failed).rejects.toThrow("127.0.0.1:1")
  })

  test("of several addresses the one that answers is used", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect({ servers: `nats://127.0.0.1:1, ${fixture.server.url}` })
    expect(nc.getServer()).toContain(String(fixture.server.port))
  })

  test("wrong and missing credentials fail with NATS_AUTH", async () => {
    await using fixture = await startFixture({ config: USERS })
    await expect(fixture.connect()).rejects.toMatchObject({ code: "unauthenticated", reason: "NATS_AUTH" })
    await expect(fixture.connect({ user: "ada", password: "no" })).rejects.toMatchObject({ reason: "NATS_AUTH" })
  })

  test("user and password come by file or in the URL", async () => {
    await using fixture = await startFixture({ config: USERS })
    const passwordFile = join(fixture.dir, "password")
    await writeFile(passwordFile, "s3:cret\n")
    await (await fixture.connect({ user: "ada", passwordFile })).flush()
    await (await fixture.connect({ servers: `nats://ada:s3%3Acret@127.0.0.1:${fixture.server.port}` })).flush()
    await expect(fixture.connect({ user: "ada", passwordFile: join(fixture.dir, "absent") })).rejects.toMatchObject({
      reason: "INVALID_CONFIG",
    })
  })

  test("a password file is read again on reconnect", async () => {
    await using fixture = await startFixture({ config: USERS })
    const passwordFile = join(fixture.dir, "password")
    await writeFile(passwordFile, "s3:cret")
    const nc = await fixture.connect({ user: "ada", passwordFile })
    const watch = watchConnection(nc)
    // With a wrong one it keeps trying, past the two refusals after which the client gives up by default.
    let refusals = 0
    const stopped = (async () => {
      for await (const status of nc.status()) if (status.type === "error" && status.error instanceof errors.AuthorizationError) refusals++
    })()
    await writeFile(passwordFile, "wrong")
    await fixture.restart()
    await until(() => refusals > 2, "three refusals")
    expect(watch.connected).toBe(false)
    await writeFile(passwordFile, "s3:cret")
    await watch.untilConnected({ timeoutMs: 10_000 })
    await nc.flush()
    await nc.close()
    await stopped
  })

  test("tokens, nkeys and credentials files work", async () => {
    {
      await using fixture = await startFixture({ config: `authorization { token: "t0ken" }` })
      const tokenFile = join(fixture.dir, "token")
      await writeFile(tokenFile, "t0ken\n")
      await (await fixture.connect({ tokenFile })).flush()
      await (await fixture.connect({ token: "t0ken" })).flush()
    }
    {
      const user = nkeys.createUser()
      await using fixture = await startFixture({ config: `authorization { users: [ { nkey: ${user.getPublicKey()} } ] }` })
      const nkeyFile = join(fixture.dir, "user.nk")
      await writeFile(nkeyFile, `${Buffer.from(user.getSeed())}\n`)
      await (await fixture.connect({ nkeyFile })).flush()
    }
    {
      const { config, creds } = operatorMode()
      await using fixture = await startFixture({ config, jetstream: false })
      const credsFile = join(fixture.dir, "ada.creds")
      await writeFile(credsFile, creds)
      await (await fixture.connect({ credsFile })).flush()
      await expect(fixture.connect()).rejects.toMatchObject({ reason: "NATS_AUTH" })
    }
  })

  test("R-SEC-2: TLS with an own authority and a client certificate", async () => {
    if (!findOnPath("openssl")) return void console.warn("SKIPPED: needs openssl: TLS")
    await using dir = await tempDir()
    const { ca, cert, key } = await makeCertificates(dir.path)
    const config = `tls { cert_file: "${cert}", key_file: "${key}", ca_file: "${ca}", verify: true }`
    await using fixture = await startFixture({ config })
    const nc = await fixture.connect({ caFile: ca, certFile: cert, keyFile: key })
    expect(nc.info?.tls_required).toBe(true)
    await expect(fixture.connect({ servers: fixture.server.url.replace("nats:", "tls:") })).rejects.toMatchObject({
      reason: "NATS_UNREACHABLE",
    })
  })
})

describe("watchConnection", () => {
  test("tells the loss, the return and the end", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const watch = watchConnection(nc)
    expect(watchConnection(nc)).toBe(watch)
    const seen: string[] = []
    watch.onDisconnect((error, closed) => seen.push(`${error.reason}${closed ? " closed" : ""}`))
    watch.onReconnect(() => seen.push("back"))
    const stop = watch.onReconnect(() => seen.push("not any more"))
    stop()
    await fixture.restart()
    await watch.untilConnected({ timeoutMs: 10_000 })
    expect(seen).toEqual(["DISCONNECTED", "back"])
    await nc.close()
    await until(() => seen.length === 3, "the end")
    expect(seen[2]).toBe("DISCONNECTED closed")
    await expect(watch.untilConnected({ timeoutMs: 10_000 })).rejects.toMatchObject({ reason: "DISCONNECTED" })
  })

  test("waiting ends with the signal, the time-out and the close", async () => {
    await using fixture = await startFixture()
    const nc = await fixture.connect()
    const watch = watchConnection(nc)
    await fixture.server.kill()
    await until(() => !watch.connected, "the loss")
    await expect(watch.untilConnected({ timeoutMs: 20 })).rejects.toMatchObject({ reason: "DISCONNECTED" })
    const controller = new AbortController()
    const cancelled = expect(watch.untilConnected({ timeoutMs: 60_000, signal: controller.signal })).rejects.toMatchObject({
      code: "cancelled",
    })
    controller.abort()
    await cancelled
    const closed = expect(watch.untilConnected({ timeoutMs: 60_000 })).rejects.toMatchObject({ reason: "DISCONNECTED" })
    await nc.close()
    await closed
  })
})

describe("fromNatsError", () => {
  test.each([
    [new errors.PermissionViolationError("no", "publish", "a"), "NATS_PERMISSION"],
    [new errors.AuthorizationError("no"), "NATS_AUTH"],
    [new errors.UserAuthenticationExpiredError("old"), "NATS_AUTH"],
    [new errors.TimeoutError(), "DEADLINE_EXCEEDED"],
    [new errors.NoRespondersError("a"), "UNAVAILABLE"],
    [new errors.RequestError("request failed", { cause: new errors.NoRespondersError("a") }), "UNAVAILABLE"],
    [new errors.RequestError("connection disconnected"), "DISCONNECTED"],
    [new errors.ClosedConnectionError(), "DISCONNECTED"],
    [new errors.DrainingConnectionError(), "DISCONNECTED"],
    [new errors.InvalidSubjectError("a b"), "INVALID_REQUEST"],
    [errors.InvalidArgumentError.format("payload", "max_payload size exceeded"), "PAYLOAD_TOO_LARGE"],
    [errors.InvalidArgumentError.format("timeout", "must be positive"), "INVALID_REQUEST"],
    [new Error("else"), "UNAVAILABLE"],
  ])("%p is %s", (thrown, reason) => {
    const error = fromNatsError(thrown, "asking")
    expect(error.reason).toBe(reason)
    expect(error.cause).toBe(thrown)
  })
})

/** An authority and one certificate of it for 127.0.0.1, for server and client alike. */
async function makeCertificates(dir: string): Promise<{ ca: string; cert: string; key: string }> {
  const openssl = async (...args: string[]): Promise<void> => void (await promisify(execFile)("openssl", args, { cwd: dir }))
  const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
  await openssl("req", "-x509", ...newKey, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=test authority")
  await openssl("req", ...newKey, "-keyout", "key.pem", "-out", "csr.pem", "-subj", "/CN=localhost")
  await writeFile(join(dir, "ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth,clientAuth\n")
  await openssl(..."x509 -req -in csr.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile ext -out cert.pem".split(" "))
  return { ca: join(dir, "ca.pem"), cert: join(dir, "cert.pem"), key: join(dir, "key.pem") }
}
