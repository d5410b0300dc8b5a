module.exports = { ...require("../../jest.config.base.cjs"), displayName: "csv-rows", rootDir: __dirname }
