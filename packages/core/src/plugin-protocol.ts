/** go-plugin handshake of function plugins. The cookie says "launched by an fn host"; it is no secret and is the same in every SDK. */
export const PLUGIN_HANDSHAKE = {
  cookieKey: "FN_PLUGIN_COOKIE",
  cookieValue: "5d6f0a3b9c1e47d28f60b7a4c3e9128d0fb65a7e4c1938d2a06be57f93c4d1e8",
  /** go-plugin application protocol versions this release speaks; 1 is package fn.plugin.v1. */
  protocolVersions: [1],
} as const
