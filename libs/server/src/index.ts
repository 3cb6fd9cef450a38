export {
  ApiBasicAuth,
  ApiConsumes,
  ApiHeader,
  ApiOperation,
  ApiResponse,
  ApiSecurity,
  ApiTags,
} from './api-decorators.js';
export { connectWithin, type ConnectWithinOptions, type NamedDatabase } from './connect-within.js';
export { openDoors, passedOn, type Door, type Knock, type OnAnswer } from './door.js';
export { isOutage } from './outage.js';
export { reasonOf } from './reason-of.js';
export { createLogger } from './logging.js';
export { ConfigError, loadConfig, parseConfig, readEnvFile } from './load-config.js';
export { createOpenApi, describeRoute, describeSchema, type OpenApiOptions } from './openapi.js';
export { invalidField, ProblemException } from './problem-exception.js';
export { sendProblem, toldOf, type Told } from './problem.filter.js';
export { askedIn, canonicalJson, idempotencyKeyOf, Repeatable, reusedKey } from './repeatable.js';
export { ReadApart, ReadsOnly } from './read-bounds.interceptor.js';
export { SchemaPipe, parserOf } from './schema.pipe.js';
export { toldIssues } from './told-issues.js';
export { createApp, startApp, type AppOptions } from './start-app.js';
export {
  checkTokenEnv,
  tokenEnv,
  tokenKeysOf,
  type TokenEnv,
  type TokenKeysSource,
} from './token-env.js';
export { port, secretBytes, serverEnv, type ServerEnv } from './server-env.js';
export { checkVersion, tagOf } from './version-check.js';
