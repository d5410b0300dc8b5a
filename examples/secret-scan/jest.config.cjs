module.exports = { ...require("../../jest.config.base.cjs"), displayName: "secret-scan", rootDir: __dirname }
