module.exports = { ...require("../../jest.config.base.cjs"), displayName: "registry", rootDir: __dirname }
