/** `KEYWARD_HOME` of what a test starts and gives no other: where `npm start` was run, its settings and its platform are not the test's. */
export const NO_HOME = '/nonexistent';
