module.exports = { ...require("../../jest.config.base.cjs"), displayName: "isolation", rootDir: __dirname }
