/** The tests run the JavaScript that ships: the built tree, as native ES modules, untransformed. */
export default {
  rootDir: 'dist',
  testEnvironment: 'node',
  transform: {},
  testMatch: ['**/*.spec.js'],
  testTimeout: 30_000,
};
