export { type InvokeOptions, type LogLine, type TestedFunction, type TestOptions, type TestResult, testFunction } from "./test-function.js"
