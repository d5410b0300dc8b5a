module.exports = { ...require("../jest.config.base.cjs"), displayName: "e2e", rootDir: __dirname }
