module.exports = { ...require("../../jest.config.base.cjs"), displayName: "push-summary", rootDir: __dirname }
