module.exports = { ...require("../../jest.config.base.cjs"), displayName: "client", rootDir: __dirname }
