/** The tests run the JavaScript that ships: the built tree, as native ES modules, untransformed. */
export default {
  rootDir: 'dist',
  testEnvironment: 'node',
  transform: {},
  testMatch: ['**/*.spec.js'],
  setupFilesAfterEnv: ['<rootDir>/test/support/home-of-its-own.js'],
  // What hangs ends, however busy the machine is with other things.
  testTimeout: 120_000,
};
