import './messages.js';

export * from './catalog.js';
export * from './claims.js';
export * from './error-codes.js';
export * from './keys.js';
export * from './login.js';
export * from './mask.js';
export * from './primitives.js';
export * from './propagation.js';
export * from './problem.js';
export * from './reports.js';
export * from './revoke-keys.js';
export * from './rotation.js';
export * from './trace.js';
export * from './usage.js';
export * from './verdict.js';
export * from './violations.js';
