import { FIELD_CODES, isErrorCode, problemOf } from '#contracts';
import type { RawAnswer } from './raw-http.js';

/** What an answer is judged against. */
export interface Rules {
  /** Text that may be in no answer: keys, tokens, passwords. */
  secrets: readonly string[];
}

const INTERNALS =
  /node_modules|\/dist\/|\.[jt]s:\d+|\bat [\w.<>]+ \(|SELECT |INSERT |UPDATE |DELETE FROM|syntax error|relation "|violates|postgres|redis|ECONN|\/tmp\/|\/home\/|QueryFailed|TypeError/i;
const MEMBERS = ['type', 'title', 'status', 'detail', 'instance', 'code', 'requestId'];

/**
 * What is wrong with an answer to a bad request: each answer that is an error is a whole RFC 9457 problem, names its
 * request, may be kept by nobody, and tells nothing of what is behind it.
 *
 * @returns one line a fault; none where all is well
 */
export function faultsOf({ status, headers, text }: RawAnswer, { secrets }: Rules): string[] {
  const faults: string[] = [];
  const demand = (isSo: boolean, fault: string): void => {
    if (!isSo) faults.push(fault);
  };
  demand(status < 500, `status ${status}`);
  demand(/^[\x21-\x7e]{1,128}$/.test(one(headers['x-request-id'])), 'no x-request-id');
  demand(headers['x-content-type-options'] === 'nosniff', 'no nosniff');
  demand(headers['cache-control'] === 'no-store', `cache-control ${headers['cache-control']}`);
  demand(!('x-powered-by' in headers) && !('server' in headers), 'tells what it runs on');
  demand(headers['access-control-allow-origin'] === undefined, 'lets other origins in');
  for (const secret of secrets) demand(!text.includes(secret), 'repeats a secret');
  demand(!Object.values(headers).some((value) => secrets.includes(one(value))), 'secret header');
  if (status >= 400) faults.push(...faultsOfProblem(status, headers, text));
  return faults;
}

function faultsOfProblem(status: number, headers: RawAnswer['headers'], text: string): string[] {
  // The answer to a HEAD request has no body.
  if (text === '') return headers['content-length'] === undefined ? ['no body'] : [];
  const type = one(headers['content-type']);
  const body = parsed(text);
  if (body === null) return [`not JSON: ${text.slice(0, 80)}`];
  // What is sent is shown in `instance` and in the names of unknown properties; it is not ours.
  const told = JSON.stringify({ ...body, instance: '', errors: undefined });
  const faults = INTERNALS.test(told) ? [`tells internals: ${told.slice(0, 200)}`] : [];
  if ('error' in body) return [...faults, ...faultsOfOAuth(body, type)];
  if (!/^application\/problem\+json(; charset=utf-8)?$/.test(type)) faults.push(`type ${type}`);
  return [...faults, ...faultsOfMembers(body, status, headers)];
}

function faultsOfMembers(
  body: Record<string, unknown>,
  status: number,
  headers: RawAnswer['headers'],
): string[] {
  const faults: string[] = [];
  const missing = MEMBERS.filter((name) => !(name in body));
  if (missing.length > 0) faults.push(`without ${missing.join()}`);
  const extra = Object.keys(body).filter((name) => ![...MEMBERS, 'errors'].includes(name));
  if (extra.length > 0) faults.push(`with ${extra.join()}`);
  if (body['status'] !== status) faults.push('another status in the body');
  if (body['requestId'] !== headers['x-request-id']) faults.push('another request id in the body');
  const { code } = body;
  if (!isErrorCode(code)) faults.push(`unknown code ${String(code)}`);
  else if (problemOf(code).status !== status) faults.push(`${code} with status ${status}`);
  for (const { code: ofField } of (body['errors'] ?? []) as { code?: string }[])
    if (!FIELD_CODES.some((known) => known === ofField)) faults.push(`a field's code ${ofField}`);
  return faults;
}

/** The token endpoint speaks RFC 6749. */
function faultsOfOAuth(body: Record<string, unknown>, type: string): string[] {
  const names = Object.keys(body).join();
  const isRight = names === 'error,error_description' && type.startsWith('application/json');
  return isRight ? [] : [`an OAuth refusal with ${names}, ${type}`];
}

function parsed(text: string): Record<string, unknown> | null {
  try {
    return JSON.parse(text) as Record<string, unknown>;
  } catch {
    return null;
  }
}

function one(value: string | string[] | undefined): string {
  return Array.isArray(value) ? value.join() : (value ?? '');
}
