import { nkeys } from "@nats-io/transport-node"

type KeyPair = ReturnType<typeof nkeys.createUser>

/** An operator with one account, in nats-server's configuration language, and a credentials file of a user of that account. */
export function operatorMode(): { config: string; creds: string } {
  const operator = nkeys.createOperator()
  const account = nkeys.createAccount()
  const user = nkeys.createUser()
  const accountJwt = encode(operator, account.getPublicKey(), "APP", {
    type: "account",
    version: 2,
    limits: { subs: -1, data: -1, payload: -1, imports: -1, exports: -1, wildcards: true, conn: -1, leaf: -1 },
  })
  const operatorJwt = encode(operator, operator.getPublicKey(), "OP", { type: "operator", version: 2 })
  const userJwt = encode(account, user.getPublicKey(), "ada", { type: "user", version: 2, subs: -1, data: -1, payload: -1 })
  const seed = Buffer.from(user.getSeed()).toString()
  return {
    config: `operator: ${operatorJwt}\nresolver: MEMORY\nresolver_preload: { ${account.getPublicKey()}: ${accountJwt} }`,
    creds: `-----BEGIN NATS USER JWT-----\n${userJwt}\n------END NATS USER JWT------\n\n-----BEGIN USER NKEY SEED-----\n${seed}\n------END USER NKEY SEED------\n`,
  }
}

function encode(issuer: KeyPair, subject: string, name: string, nats: unknown): string {
  const part = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString("base64url")
  const claims = { jti: name, iat: Math.floor(Date.now() / 1000), iss: issuer.getPublicKey(), name, sub: subject, nats }
  const signed = `${part({ typ: "JWT", alg: "ed25519-nkey" })}.${part(claims)}`
  return `${signed}.${Buffer.from(issuer.sign(Buffer.from(signed))).toString("base64url")}`
}
