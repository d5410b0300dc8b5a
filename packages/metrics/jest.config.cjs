module.exports = { ...require("../../jest.config.base.cjs"), displayName: "metrics", rootDir: __dirname }
