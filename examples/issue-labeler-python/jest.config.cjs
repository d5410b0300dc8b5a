module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-labeler-python", rootDir: __dirname }
