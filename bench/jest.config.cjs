module.exports = {
  displayName: "bench",
  rootDir: __dirname,
  testEnvironment: "node",
  testMatch: ["<rootDir>/**/*.test.mjs"],
  // Plain ES modules, which Node reads as they are.
  transform: {},
}
