module.exports = { ...require("../../jest.config.base.cjs"), displayName: "runtime-service", rootDir: __dirname }
