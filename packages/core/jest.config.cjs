module.exports = { ...require("../../jest.config.base.cjs"), displayName: "core", rootDir: __dirname }
