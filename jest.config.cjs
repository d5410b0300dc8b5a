module.exports = { projects: ["<rootDir>/packages/*", "<rootDir>/apps/*", "<rootDir>/examples/*", "<rootDir>/e2e"], testTimeout: 30_000 }
