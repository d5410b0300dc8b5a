module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-labeler-rust", rootDir: __dirname }
