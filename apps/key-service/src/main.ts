import '#server/limited-heap';
import { createLogger, startApp } from '#server';
import { appOptions } from './app-options.js';
import { loadKeyServiceConfig } from './config.js';

await startApp(() => {
  const env = loadKeyServiceConfig();
  return appOptions(env, createLogger('key-service', env.LOG_LEVEL));
});
