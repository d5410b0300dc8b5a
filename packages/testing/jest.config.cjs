module.exports = { ...require("../../jest.config.base.cjs"), displayName: "testing", rootDir: __dirname }
