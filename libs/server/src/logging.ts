import type { LoggerService } from '@nestjs/common';
import { pino, stdSerializers, type Logger } from 'pino';
import { maskSecrets } from '#contracts';

/**
 * Log of an app: JSON lines on standard output. Whatever looks like a key, token or client secret is masked in every
 * string, errors included; headers and bodies are never logged.
 */
export function createLogger(app: string, level: string): Logger {
  return pino({
    level,
    base: { app },
    timestamp: pino.stdTimeFunctions.isoTime,
    formatters: { level: (label) => ({ level: label }) },
    serializers: { err: serializeError },
    hooks: {
      logMethod(args, method) {
        method.apply(
          this,
          args.map((arg) => (typeof arg === 'string' ? maskSecrets(arg) : arg)) as typeof args,
        );
      },
    },
  });
}

/** Nest's own log lines through the app's log; what Nest says while it wires is left to `debug`. */
export function nestLogger(log: Logger): LoggerService {
  const line = (message: unknown, context: unknown[]) =>
    [{ context: context.at(-1) }, String(message)] as const;
  return {
    log: (message: unknown, ...context: unknown[]) => log.debug(...line(message, context)),
    debug: (message: unknown, ...context: unknown[]) => log.debug(...line(message, context)),
    verbose: (message: unknown, ...context: unknown[]) => log.trace(...line(message, context)),
    warn: (message: unknown, ...context: unknown[]) => log.warn(...line(message, context)),
    error: (message: unknown, ...context: unknown[]) => log.error(...line(message, context)),
    fatal: (message: unknown, ...context: unknown[]) => log.fatal(...line(message, context)),
  };
}

function serializeError(error: Error): unknown {
  if (!(error instanceof Error)) return error;
  const { type, message, stack } = stdSerializers.err(error);
  const code = (error as { code?: unknown }).code;
  return {
    type,
    message: maskSecrets(message),
    stack: maskSecrets(stack ?? ''),
    ...(typeof code === 'string' && { code }),
    ...(error.cause instanceof Error && { cause: serializeError(error.cause) }),
  };
}
