import '#server/limited-heap';
import { createLogger, loadConfig, startApp } from '#server';
import { appOptions } from './app-options.js';
import { serviceBEnv } from './config.js';

await startApp(() => {
  const config = loadConfig(serviceBEnv);
  return appOptions(config, createLogger('service-b', config.LOG_LEVEL));
});
