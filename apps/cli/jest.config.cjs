module.exports = {
  ...require("../../jest.config.base.cjs"),
  displayName: "cli",
  rootDir: __dirname,
  // Projects to copy, all called __NAME__.
  modulePathIgnorePatterns: ["<rootDir>/templates/"],
}
