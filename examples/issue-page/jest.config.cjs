module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-page", rootDir: __dirname }
