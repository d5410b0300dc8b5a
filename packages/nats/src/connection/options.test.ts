import { FnError } from "@fn/core"
import { describe, expect, test } from "@jest/globals"
import { checkNatsOptions, NATS_OPTION_FLAGS, natsOptionsFromFlags, natsOptionsSchema } from "./options.js"

function problemOf(work: () => unknown): FnError {
  try {
    work()
  } catch (thrown) {
    if (FnError.is(thrown)) return thrown
    throw thrown
  }
  throw new Error("it should have failed")
}

describe("NATS options", () => {
  test("every flag sets a known option, under one name in every program", () => {
    for (const { option } of NATS_OPTION_FLAGS) expect(Object.keys(natsOptionsSchema.shape)).toContain(option)
    const named = Object.fromEntries(NATS_OPTION_FLAGS.map(({ option, flag, key, env }) => [option, [flag, key, env]]))
    expect(named).toMatchObject({
      servers: ["--nats-url", "natsUrl", "FN_NATS_URL"],
      credsFile: ["--nats-creds", "natsCreds", "FN_NATS_CREDS"],
      nkeyFile: ["--nats-nkey", "natsNkey", "FN_NATS_NKEY"],
      user: ["--nats-user", "natsUser", "FN_NATS_USER"],
      passwordFile: ["--nats-password-file", "natsPasswordFile", "FN_NATS_PASSWORD_FILE"],
      caFile: ["--nats-ca", "natsCa", "FN_NATS_CA"],
      certFile: ["--nats-cert", "natsCert", "FN_NATS_CERT"],
      keyFile: ["--nats-key", "natsKey", "FN_NATS_KEY"],
      context: ["--nats-context", "natsContext", "FN_NATS_CONTEXT"],
      jsDomain: ["--js-domain", "jsDomain", "FN_JS_DOMAIN"],
      prefix: ["--prefix", "prefix", "FN_PREFIX"],
    })
  })

  test("R-DP-5: a flag wins over the environment, an empty variable is unset", () => {
    const env = { FN_NATS_URL: "nats://env:4222", FN_NATS_USER: "ada", FN_NATS_CREDS: "" }
    expect(natsOptionsFromFlags({ natsUrl: "nats://flag:4222" }, env)).toEqual({ servers: "nats://flag:4222", user: "ada" })
  })

  test("R-DP-5: all problems come together, each naming option, flag and variable", () => {
    const { message, reason } = problemOf(() => natsOptionsFromFlags({ prefix: "two.tokens", jsDomain: "a b" }))
    expect(reason).toBe("INVALID_CONFIG")
    expect(message).toContain("prefix (--prefix, FN_PREFIX)")
    expect(message).toContain("jsDomain (--js-domain, FN_JS_DOMAIN)")
  })

  test("unknown keys and halves of pairs fail", () => {
    expect(problemOf(() => checkNatsOptions({ sevrers: "x" })).message).toContain("sevrers")
    expect(problemOf(() => checkNatsOptions({ certFile: "a.pem" })).message).toContain("--nats-key")
    expect(problemOf(() => checkNatsOptions({ passwordFile: "a" })).message).toContain("--nats-user")
    expect(problemOf(() => checkNatsOptions({ inboxPrefix: "_INBOX.>" })).message).toContain("wildcards")
  })
})
