module.exports = { ...require("../../jest.config.base.cjs"), displayName: "runtime", rootDir: __dirname }
