module.exports = { ...require("../../jest.config.base.cjs"), displayName: "queue", rootDir: __dirname }
