module.exports = { ...require("../../jest.config.base.cjs"), displayName: "process", rootDir: __dirname }
