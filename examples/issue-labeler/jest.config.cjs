module.exports = { ...require("../../jest.config.base.cjs"), displayName: "issue-labeler", rootDir: __dirname }
