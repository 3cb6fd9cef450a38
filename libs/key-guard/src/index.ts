export * from './core.js';
export { ApiKey } from './api-key.js';
export { KEY_VERIFIER, KeyGuard } from './key.guard.js';
export { KeyGuardModule } from './key-guard.module.js';
export { RequireScope } from './require-scope.js';
