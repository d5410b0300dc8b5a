module.exports = { ...require("../../jest.config.base.cjs"), displayName: "crc32", rootDir: __dirname }
