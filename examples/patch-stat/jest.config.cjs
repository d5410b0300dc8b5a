module.exports = { ...require("../../jest.config.base.cjs"), displayName: "patch-stat", rootDir: __dirname }
