import 'reflect-metadata';
import { NestFactory } from '@nestjs/core';
import { FastifyAdapter, type NestFastifyApplication } from '@nestjs/platform-fastify';
import type { DynamicModule, Type } from '@nestjs/common';
import type { FastifyInstance } from 'fastify';
import type { Logger } from 'pino';
import { traitsIn } from './described-routes.js';
import { serveDocuments } from './documents.js';
import { createHttp, type HttpOptions } from './http.js';
import { ConfigError } from './load-config.js';
import { nestLogger } from './logging.js';
import type { OpenApiOptions } from './openapi.js';
import { ProblemFilter } from './problem.filter.js';
import { ReadBoundsInterceptor, type ReadBounds } from './read-bounds.interceptor.js';
import { SchemaPipe } from './schema.pipe.js';
import type { ServerEnv } from './server-env.js';
import { UnreadPartsInterceptor } from './unread-parts.interceptor.js';
import { withoutQueries } from './unread-query.js';

/** What pages of a listed origin may send and read. */
const CORS = {
  methods: ['GET', 'HEAD', 'POST', 'PATCH', 'DELETE'],
  exposedHeaders: [
    'Deprecation',
    'ETag',
    'Idempotency-Replayed',
    'Keyward-Propagation',
    'Location',
    'RateLimit',
    'RateLimit-Policy',
    'Retry-After',
    'Sunset',
    'X-Request-Id',
  ],
  maxAge: 600,
};

/** An app to be started. */
export interface AppOptions {
  /** Name of the app, in logs and messages. */
  name: string;
  module: Type | DynamicModule;
  env: ServerEnv;
  log: Logger;
  port: number;
  /** Variable that sets the port, named where the port is taken. */
  portVariable: string;
  http?: HttpOptions;
  openApi: OpenApiOptions;
  /** Whether it can serve now; asked by `/health/ready`, false or a rejection is 503. */
  isReady?: (app: NestFastifyApplication) => Promise<boolean> | boolean;
  /** What `GET`s of controllers may take before they are answered 503; unbounded by default. */
  reads?: ReadBounds;
  /** Routes outside Nest, registered before it listens. */
  routes?: (app: NestFastifyApplication, fastify: FastifyInstance) => void;
}

/**
 * The app, wired and initialised but not listening: every answer an RFC 9457 problem or what a route says, bodies and
 * queries validated, health, `/openapi.json` and `/docs` there.
 */
export async function createApp(options: AppOptions): Promise<NestFastifyApplication> {
  const http = createHttp({
    ...options.http,
    traitsOf: traitsIn(options.openApi.name),
    env: options.env,
    log: options.log,
  });
  const adapter = new FastifyAdapter(http.fastify as never);
  const app = await NestFactory.create<NestFastifyApplication>(options.module, adapter, {
    logger: nestLogger(options.log),
    bodyParser: false,
    abortOnError: false,
    ...(options.env.CORS_ORIGINS.length > 0 && {
      cors: { ...CORS, origin: options.env.CORS_ORIGINS },
    }),
  });
  app.useGlobalFilters(new ProblemFilter(http.routes.methodsOf));
  app.useGlobalPipes(new SchemaPipe());
  app.useGlobalInterceptors(new UnreadPartsInterceptor());
  if (options.reads !== undefined)
    app.useGlobalInterceptors(new ReadBoundsInterceptor(options.reads));
  http.health(async () => (await options.isReady?.(app)) ?? true);
  withoutQueries(http.fastify, () => options.routes?.(app, http.fastify));
  serveDocuments(http.fastify, options.openApi.name);
  await app.init();
  await http.fastify.ready();
  return app;
}

/**
 * Starts the app and keeps it until SIGTERM or SIGINT, or until the process that started it is gone: then it says "not
 * ready", waits `DRAIN_MS`, finishes what is under way and ends with 0. A start that fails ends with 1 and one clear line.
 */
export async function startApp(load: () => AppOptions | Promise<AppOptions>): Promise<void> {
  let onParentGone = (): void => process.exit(0);
  if (process.send) {
    // Loading this code takes a while, too: who started us may have gone before anybody could listen for that.
    if (!process.connected) onParentGone();
    process.on('disconnect', () => onParentGone());
  }
  try {
    const options = await load();
    const app = await createApp(options);
    onParentGone = await listen(app, options);
    process.send?.({ ready: options.name });
  } catch (error) {
    process.stderr.write(`${messageOf(error)}\n`);
    process.exit(1);
  }
}

/** Lets the app listen until a signal stops it. Returns what stops it when its parent is gone. */
async function listen(app: NestFastifyApplication, options: AppOptions): Promise<() => void> {
  const { env, log, port, portVariable } = options;
  try {
    await app.listen(port, env.HOST);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error;
    throw new ConfigError(
      `Port ${port} on ${env.HOST} is taken; set ${portVariable} to a free one`,
      { cause: error },
    );
  }
  log.info({ port, host: env.HOST }, `${options.name} listens`);
  let stopping = false;
  const stop = async (why: string): Promise<void> => {
    if (stopping) return;
    stopping = true;
    log.info({ why }, `${options.name} stops`);
    app.getHttpAdapter().getInstance().drain();
    await new Promise((resolve) => setTimeout(resolve, env.DRAIN_MS));
    await app.close();
    process.exit(0);
  };
  const onSignal = (why: string) => () => {
    stop(why).catch((error: unknown) => {
      log.error({ err: error }, 'stopping failed');
      process.exit(1);
    });
  };
  process.on('SIGTERM', onSignal('SIGTERM'));
  process.on('SIGINT', onSignal('SIGINT'));
  return onSignal('parent gone');
}

function messageOf(error: unknown): string {
  if (error instanceof ConfigError) return error.message;
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
