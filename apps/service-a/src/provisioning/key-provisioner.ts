import type { FastifyRequest } from 'fastify';
import { z } from 'zod';
import {
  changedKey,
  keyPage,
  repeatedIssuedKey,
  repeatedRotatedKey,
  traceHeaders,
  type Environment,
  type ListKeysQuery,
  type ProvisionKeyBody,
  type RevokeKeyBody,
  type RotateKeyBody,
} from '#contracts';
import { bearerToken } from '#jwt-guard';
import type { ServiceToken } from '#key-guard';
import { ProblemException } from '#server';
import type { Upstream, UpstreamAnswer, UpstreamCall } from '../upstream.js';
import { toOwnBody } from './own-body.js';

/** The audience that keys are made for here. */
export const SERVICE = 'service-a';

type Call = Pick<UpstreamCall, 'method' | 'path' | 'body'>;
type Answer<S extends z.ZodType> = Promise<UpstreamAnswer<z.output<S>>>;

/**
 * Makes, lists and ends keys for this service at the key service, as this service acting for the person who asks: its own
 * token beside theirs, both of which the key service verifies. What passes through is kept nowhere.
 */
export class KeyProvisioner {
  constructor(
    private readonly keyService: Upstream,
    private readonly token: ServiceToken,
    /** Of the keys that are made: the one that this service takes. */
    private readonly environment: Environment,
  ) {}

  async create(given: ProvisionKeyBody, from: FastifyRequest): Answer<typeof repeatedIssuedKey> {
    const { scopes, ...rest } = given;
    const { environment } = this;
    const body = { ...rest, environment, grants: [{ service: SERVICE, scopes }] };
    const call = { method: 'POST', path: '/v1/keys', body } as const;
    return await this.call(call, repeatedIssuedKey, from).catch((error: unknown) => {
      throw toOwnBody(error);
    });
  }

  list(query: Omit<ListKeysQuery, 'service'>, from: FastifyRequest): Answer<typeof keyPage> {
    const parameters = Object.entries({ ...query, service: SERVICE })
      .filter(([, value]) => value !== undefined)
      .map(([name, value]): [string, string] => [name, String(value)]);
    const path = `/v1/keys?${new URLSearchParams(parameters).toString()}`;
    return this.call({ method: 'GET', path }, keyPage, from);
  }

  rotate(id: string, body: RotateKeyBody, from: FastifyRequest): Answer<typeof repeatedRotatedKey> {
    const call = { method: 'POST', path: `/v1/keys/${id}/rotate`, body } as const;
    return this.call(call, repeatedRotatedKey, from);
  }

  revoke(id: string, body: RevokeKeyBody, from: FastifyRequest): Answer<typeof changedKey> {
    return this.call({ method: 'POST', path: `/v1/keys/${id}/revoke`, body }, changedKey, from);
  }

  /** Any other change, for the person who asks. @returns the status and the body, of a refusal its status */
  async post(path: string, body: object, from: FastifyRequest) {
    try {
      const { data } = await this.call({ method: 'POST', path, body }, z.unknown(), from);
      return { status: 200, body: data };
    } catch (error) {
      if (!(error instanceof ProblemException)) throw error;
      return { status: error.getStatus(), body: { detail: error.message } };
    }
  }

  private async call<S extends z.ZodType>(call: Call, schema: S, from: FastifyRequest): Answer<S> {
    const own = await this.ownToken();
    const callAs = (token: string) =>
      this.keyService.call({ ...call, headers: headersOf(from, token) }, schema);
    try {
      return await callAs(own);
    } catch (error) {
      if (!(error instanceof ProblemException) || error.getStatus() !== 401) throw error;
      // Ours may be signed with a key that login no longer has; with a new one the refusal is about the person's.
      const fresh = await this.ownToken(own);
      if (fresh === own) throw error;
      return await callAs(fresh);
    }
  }

  private async ownToken(refused?: string): Promise<string> {
    return await this.token(refused).catch((cause: unknown) => {
      throw new ProblemException(
        'SERVICE_UNAVAILABLE',
        'This service cannot identify itself at present; try again shortly',
        { headers: { 'retry-after': '1' }, cause },
      );
    });
  }
}

/** What the caller asks of the key service beside the body. */
const PASSED_ON = ['idempotency-key', 'if-match'] as const;

function headersOf(from: FastifyRequest, token: string): Record<string, string> {
  const given = PASSED_ON.flatMap((name) => {
    const value = from.headers[name];
    return typeof value === 'string' ? [[name, value]] : [];
  });
  return {
    ...traceHeaders(from),
    authorization: `Bearer ${token}`,
    'x-actor-token': bearerToken(from) ?? '',
    'x-forwarded-for': from.ip,
    ...(Object.fromEntries(given) as Record<string, string>),
  };
}
