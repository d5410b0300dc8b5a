module.exports = { ...require("../../jest.config.base.cjs"), displayName: "release-calendar", rootDir: __dirname }
