module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-labeler-java", rootDir: __dirname }
