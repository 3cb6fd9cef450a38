import '#server/limited-heap';
import { createLogger, loadConfig, startApp } from '#server';
import { appOptions } from './app-options.js';
import { serviceAEnv } from './config.js';

await startApp(() => {
  const config = loadConfig(serviceAEnv);
  return appOptions(config, createLogger('service-a', config.LOG_LEVEL));
});
