import '#server/limited-heap';
import { createLogger, startApp } from '#server';
import { appOptions } from './app-options.js';
import { loadLoginConfig } from './config.js';

await startApp(() => {
  const env = loadLoginConfig();
  return appOptions(env, createLogger('login', env.LOG_LEVEL));
});
