import Fastify, { LogController, type FastifyInstance, type FastifyRequest } from 'fastify';
import type { Logger } from 'pino';
import { maskUrl } from '#contracts';
import type { TraitsOf } from './described-routes.js';
import { endConnections } from './end-connections.js';
import { registerBodies, type BodyPaths } from './json-body.js';
import { faultOfPath, MAX_PARAM_LENGTH } from './path-fault.js';
import { pathOf } from './path-of.js';
import { sendProblem, toldOf } from './problem.filter.js';
import { answerForNode, commonHeaders, refuseSocket } from './raw-answers.js';
import { checkRequest, requestIdOf } from './request-checks.js';
import { RequestLog } from './request-log.js';
import { collectRoutes, type Routes } from './routes.js';
import type { ServerEnv } from './server-env.js';

const KIB = 1024;

/** What is set of Node's own server. */
const NODE_HTTP = {
  headersTimeout: 15_000,
  maxHeaderSize: 16 * KIB,
  requireHostHeader: false,
  // how often the limits of time are looked at: by default every 30 s, which would be added to them
  connectionsCheckingInterval: 2_000,
};

/** How addresses are read. */
const ROUTES = {
  maxParamLength: MAX_PARAM_LENGTH,
  caseSensitive: true,
  ignoreTrailingSlash: false,
};

/** What an app may set of its HTTP side. */
export interface HttpOptions {
  /** Paths that take a form instead of JSON. */
  formPaths?: readonly string[];
  /** Paths whose bodies may hold keys; elsewhere a key in the body is refused. */
  keyPaths?: readonly string[];
  /** What is known of routes beforehand. */
  traitsOf?: TraitsOf;
  /** Paths that take larger bodies than others, in bytes. */
  bodyLimits?: Readonly<Record<string, number>>;
  /** Paths whose good answers are not logged one by one. */
  quietPaths?: readonly string[];
}

/** The HTTP side of an app, before Nest is put on it. */
export interface Http {
  fastify: FastifyInstance;
  routes: Routes;
  /** Registers `/health/live` and `/health/ready`. */
  health: (isReady: () => Promise<boolean>) => void;
}

declare module 'fastify' {
  interface FastifyInstance {
    /** From now on `/health/ready` says 503, so that load balancers look elsewhere. */
    drain(): void;
  }
}

/**
 * A Fastify instance with Keyward's rules for every request: bounded sizes and times, request ids, checked headers, masked
 * logs, security headers, problem answers for what Node and Fastify refuse themselves.
 */
export function createHttp(options: HttpOptions & { env: ServerEnv; log: Logger }): Http {
  const { env, log } = options;
  const fastify = Fastify({
    loggerInstance: log as never,
    logController: new LogController({ disableRequestLogging: true }),
    childLoggerFactory: (parent, bindings, options) =>
      new RequestLog(parent as Logger, bindings, options as never) as never,
    genReqId: requestIdOf,
    bodyLimit: 64 * KIB,
    requestTimeout: 25_000,
    connectionTimeout: 60_000,
    keepAliveTimeout: 72_000,
    http: NODE_HTTP,
    forceCloseConnections: 'idle',
    return503OnClosing: false,
    trustProxy: env.TRUST_PROXY.length > 0 ? env.TRUST_PROXY : false,
    routerOptions: ROUTES,
    frameworkErrors: (error, request, reply) => {
      void reply.headers(commonHeaders(request.id));
      const fault = faultOfPath(pathOf(request), routes.parametersOf) ?? error;
      sendProblem(request, reply, toldOf(fault), fault);
    },
    clientErrorHandler: refuseSocket,
  }) as unknown as FastifyInstance;
  answerForNode(fastify.server);
  endConnections(fastify);
  const routes = collectRoutes(fastify);
  widenBodies(fastify, options.bodyLimits ?? {});
  let draining = false;
  fastify.decorate('drain', () => {
    draining = true;
  });
  registerBodies(fastify, bodyPathsOf(options));
  registerHooks(fastify, routes, new Set(options.quietPaths));
  return {
    fastify,
    routes,
    health: (isReady) => registerHealth(fastify, async () => !draining && (await isReady())),
  };
}

function bodyPathsOf({ formPaths, keyPaths, traitsOf }: HttpOptions): BodyPaths {
  return { formPaths: new Set(formPaths), keyPaths: new Set(keyPaths), traitsOf };
}

function widenBodies(
  fastify: FastifyInstance,
  limits: NonNullable<HttpOptions['bodyLimits']>,
): void {
  fastify.addHook('onRoute', (route) => {
    const limit = limits[route.url];
    if (limit !== undefined) route.bodyLimit = limit;
  });
}

function registerHooks(
  fastify: FastifyInstance,
  { parametersOf }: Routes,
  quietPaths: ReadonlySet<string>,
): void {
  fastify.addHook('onRequest', (request, reply, done) => {
    reply.headers(commonHeaders(request.id));
    try {
      checkRequest(request.raw);
      const fault = faultOfPath(pathOf(request), parametersOf);
      if (fault === null) done();
      else done(fault);
    } catch (error) {
      done(error as Error);
    }
  });
  fastify.addHook('onResponse', (request, reply, done) => {
    if (reply.statusCode >= 400 || !quietPaths.has(request.routeOptions.url ?? '')) {
      request.log.info(accessOf(request, reply.statusCode, reply.elapsedTime), 'request');
    }
    done();
  });
}

function accessOf(request: FastifyRequest, status: number, elapsedMs: number) {
  return {
    method: request.method,
    url: maskUrl(request.url),
    status,
    ms: Math.round(elapsedMs * 10) / 10,
    ip: request.ip,
  };
}

function registerHealth(fastify: FastifyInstance, isReady: () => Promise<boolean>): void {
  fastify.get('/health/live', { logLevel: 'warn' }, (_request, reply) =>
    reply.send({ status: 'ok' }),
  );
  fastify.get('/health/ready', { logLevel: 'warn' }, async (request, reply) => {
    const ready = await isReady().catch(() => false);
    if (ready) return reply.send({ status: 'ok' });
    sendProblem(request, reply, {
      code: 'SERVICE_UNAVAILABLE',
      detail: 'Not ready to serve; try again shortly',
      headers: { 'retry-after': '1' },
    });
    return reply;
  });
}
