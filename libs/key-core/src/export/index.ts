export * from './export-signature.js';
export * from './portable-digest.js';
export * from './read-export.js';
export * from './seal-to.js';
