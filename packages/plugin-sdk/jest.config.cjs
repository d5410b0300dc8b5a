module.exports = { ...require("../../jest.config.base.cjs"), displayName: "plugin-sdk", rootDir: __dirname }
