export * from './fast-hash.js';
export * from './presented.js';
export * from './slow-hash.js';
export * from './slow-match.js';
export * from './weak.js';
