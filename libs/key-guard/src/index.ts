export * from './core.js';
export { ApiKey } from './api-key.js';
export { KEY_GUARD, KeyGuard } from './key.guard.js';
export { KeyGuardModule } from './key-guard.module.js';
export { KeyRefused } from './key-refused.js';
export { Public } from './public.js';
export { RequireScope } from './require-scope.js';
