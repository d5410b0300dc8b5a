module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-labeler-go", rootDir: __dirname }
