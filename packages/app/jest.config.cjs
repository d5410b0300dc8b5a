module.exports = { ...require("../../jest.config.base.cjs"), displayName: "app", rootDir: __dirname }
