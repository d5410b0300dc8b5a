module.exports = { ...require("../../jest.config.base.cjs"), displayName: "go-plugin", rootDir: __dirname, testTimeout: 30_000 }
