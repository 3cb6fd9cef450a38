import { Catch, type ArgumentsHost, type ExceptionFilter } from '@nestjs/common';
import type { FastifyReply, FastifyRequest } from 'fastify';
import { PROBLEMS, type OAuthError } from '#contracts';
import { sendProblem, toldOf, type Told } from '#server';
import { OAuthRefusal } from './oauth-refusal.js';

/** Says errors of the token endpoint as RFC 6749, section 5.2, wants them: clients of OAuth know no other shape. */
@Catch()
export class OAuthErrorFilter implements ExceptionFilter {
  catch(error: unknown, host: ArgumentsHost): void {
    const http = host.switchToHttp();
    const reply = http.getResponse<FastifyReply>();
    if (!(error instanceof OAuthRefusal)) {
      sendProblem(http.getRequest<FastifyRequest>(), reply, toldOf(error), error);
      return;
    }
    const isClient = error.code === 'invalid_client';
    if (isClient) void reply.header('www-authenticate', 'Basic realm="keyward"');
    answer(reply, isClient ? 401 : 400, { error: error.code, error_description: error.message });
  }
}

/** Tells any other refusal of a route in that shape, with its own status. */
export function tellAsOAuth(reply: FastifyReply, { code, detail, headers = {} }: Told): void {
  const { status } = PROBLEMS[code];
  void reply.headers(headers);
  answer(reply, status, { error: oauthCodeOf(status), error_description: detail });
}

function oauthCodeOf(status: number): string {
  if (status === 429 || status === 503) return 'temporarily_unavailable';
  return status >= 500 ? 'server_error' : 'invalid_request';
}

/** `error_description` may hold visible ASCII but no quote or backslash. */
function answer(reply: FastifyReply, status: number, body: OAuthError): void {
  const error_description = body.error_description.replace(/[^\x20-\x21\x23-\x5b\x5d-\x7e]/g, ' ');
  reply.raw.statusCode = status;
  void reply
    .status(status)
    .headers({ 'cache-control': 'no-store', pragma: 'no-cache' })
    .type('application/json')
    .send(JSON.stringify({ ...body, error_description }));
}
