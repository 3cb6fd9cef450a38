import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  tokenPair,
  traceHeaders,
  type LoginBody,
  type RefreshBody,
  type TokenPair,
} from '#contracts';
import type { Upstream } from '../upstream.js';

/** Hands logins on to login, which does all that is to be done: this service never looks at a password or token. */
export class LoginForwarder {
  constructor(private readonly login: Upstream) {}

  logIn(body: LoginBody, from: FastifyRequest): Promise<TokenPair> {
    return this.forward('/v1/login', body, from, tokenPair);
  }

  refresh(body: RefreshBody, from: FastifyRequest): Promise<TokenPair> {
    return this.forward('/v1/token/refresh', body, from, tokenPair);
  }

  logOut(body: RefreshBody, from: FastifyRequest): Promise<void> {
    return this.forward('/v1/logout', body, from, z.undefined());
  }

  private async forward<S extends z.ZodType>(
    path: string,
    body: object,
    from: FastifyRequest,
    schema: S,
  ): Promise<z.output<S>> {
    // Login throttles by address: it must be the true client's, not ours. What the client claims of itself is not passed on.
    const headers = { ...traceHeaders(from), 'x-forwarded-for': from.ip };
    const { data } = await this.login.call({ method: 'POST', path, headers, body }, schema);
    return data;
  }
}
