module.exports = { ...require("../../jest.config.base.cjs"), displayName: "cli", rootDir: __dirname }
