module.exports = { ...require("../../jest.config.base.cjs"), displayName: "noise-filter", rootDir: __dirname }
