module.exports = { ...require("../../jest.config.base.cjs"), displayName: "gateway", rootDir: __dirname }
