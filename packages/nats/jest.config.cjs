module.exports = { ...require("../../jest.config.base.cjs"), displayName: "nats", rootDir: __dirname }
