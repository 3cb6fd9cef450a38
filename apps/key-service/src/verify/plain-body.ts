import { z } from 'zod';
import {
  verifyBatchBody,
  verifyBody,
  type ScopeRequirement,
  type VerifyBatchBody,
  type VerifyBody,
} from '#contracts';
import { parserOf } from '#server';

const SLUG = /^[a-z0-9-]{1,63}$/;
const SCOPE = /^[a-z0-9-]+(:[a-z0-9-]+)*(:\*)?$/;
const IPV4 = z.regexes.ipv4;
const MAX_KEY = 64 * 1_024;
const MAX_SCOPES = 50;
const MAX_REQUESTS = 100;
const MAX_COST = 1_000_000;

const checkedBody = parserOf(verifyBody);
const checkedBatch = parserOf(verifyBatchBody);

/** @throws ProblemException INVALID_REQUEST */
export function verifyBodyOf(body: unknown): VerifyBody {
  return isPlainVerifyBody(body) ? body : checkedBody(body);
}

/** @throws ProblemException INVALID_REQUEST */
export function verifyBatchOf(body: unknown): VerifyBatchBody {
  return isPlainVerifyBatch(body) ? body : checkedBatch(body);
}

/**
 * Whether a body is one of the usual kind of those that `verifyBody` takes as they are: then the schema need not be asked,
 * which takes ten times as long. `false` says nothing: ask it.
 */
export function isPlainVerifyBody(body: unknown): body is VerifyBody {
  if (typeof body !== 'object' || body === null) return false;
  const all = body as Record<string, unknown>;
  if (typeof all.key !== 'string' || all.key.length > MAX_KEY) return false;
  for (const name in all) if (!isPlainMember(name, all[name])) return false;
  return true;
}

/** The same for a batch. */
export function isPlainVerifyBatch(body: unknown): body is VerifyBatchBody {
  if (typeof body !== 'object' || body === null) return false;
  for (const name in body) if (name !== 'requests' && name !== 'partial') return false;
  const { requests, partial = false } = body as { requests?: unknown; partial?: unknown };
  return typeof partial === 'boolean' && arePlainRequests(requests);
}

function arePlainRequests(value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0 || value.length > MAX_REQUESTS) return false;
  return value.every(isPlainVerifyBody);
}

function isPlainMember(name: string, value: unknown): boolean {
  switch (name) {
    case 'key':
      return true;
    case 'scopes':
      return isPlainRequirement(value);
    case 'service':
      return isText(value, SLUG);
    case 'clientIp':
      return isText(value, IPV4);
    case 'environment':
      return value === 'live' || value === 'test';
    case 'cost':
      return isCost(value);
    case 'dryRun':
      return typeof value === 'boolean';
    default:
      return false;
  }
}

function isPlainRequirement(value: unknown): value is ScopeRequirement {
  return Array.isArray(value) && value.length <= MAX_SCOPES && value.every(isScope);
}

function isText(value: unknown, shape: RegExp): boolean {
  return typeof value === 'string' && shape.test(value);
}

function isCost(value: unknown): boolean {
  return Number.isInteger(value) && (value as number) >= 1 && (value as number) <= MAX_COST;
}

function isScope(value: unknown): boolean {
  return typeof value === 'string' && value.length <= 128 && SCOPE.test(value);
}
