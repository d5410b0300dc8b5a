module.exports = { ...require("../../jest.config.base.cjs"), displayName: "redact", rootDir: __dirname }
