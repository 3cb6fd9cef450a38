import type { OpenAPIObject } from '@nestjs/swagger';
import { PROBLEMS, type ErrorCode } from '#contracts';

/** An operation as the document has it. */
interface Operation {
  security?: Record<string, unknown>[];
  parameters?: { in: string; name: string; required?: boolean }[];
  requestBody?: unknown;
  responses?: Record<string, unknown>;
}

interface Route extends Operation {
  path: string;
  method: string;
}

const has = (place: string, name?: string) => (route: Route) =>
  route.parameters?.some((one) => one.in === place && (name === undefined || one.name === name)) ===
  true;
const isSecuredBy = (scheme: string) => (route: Route) =>
  route.security?.some((one) => scheme in one) === true;
const takesBody = ({ requestBody }: Route) => requestBody !== undefined;
const isChange = ({ method }: Route) => method === 'patch' || method === 'delete';

const OF_A_KEY: ErrorCode[] = [
  'API_KEY_INVALID',
  'API_KEY_REVOKED',
  'API_KEY_EXPIRED',
  'API_KEY_SUPERSEDED',
  'API_KEY_NOT_YET_VALID',
  'API_KEY_DISABLED',
  'IP_NOT_ALLOWED',
];

/** What the parts of a route can be refused with. A route may have refusals of its own beside them. */
const CODES_BY_PART: [(route: Route) => boolean, ErrorCode[]][] = [
  [(route) => route.path.startsWith('/v1/') || takesBody(route), ['INVALID_REQUEST']],
  [takesBody, ['INVALID_JSON', 'BODY_TOO_LARGE', 'UNSUPPORTED_MEDIA_TYPE']],
  [has('query', 'cursor'), ['INVALID_CURSOR']],
  [has('header'), ['INVALID_HEADER']],
  [isSecuredBy('bearer'), ['UNAUTHENTICATED', 'INVALID_TOKEN', 'FORBIDDEN']],
  [isSecuredBy('apiKey'), ['API_KEY_MISSING', ...OF_A_KEY]],
  [has('path'), ['NOT_FOUND']],
  [has('header', 'If-Match'), ['VERSION_MISMATCH']],
  [(route) => isChange(route) && has('header', 'If-Match')(route), ['IF_MATCH_REQUIRED']],
  [has('header', 'Idempotency-Key'), ['IDEMPOTENCY_KEY_REUSED']],
];

/** Says of each operation with which codes it can be refused, by their statuses; `default` stands for all others. */
export function addProblemAnswers(document: OpenAPIObject, content: object): void {
  for (const [path, operations] of Object.entries(document.paths))
    for (const [method, operation] of Object.entries(operations as Record<string, Operation>)) {
      const { responses } = operation;
      if (responses === undefined) continue;
      for (const [status, codes] of codesOf({ ...operation, path, method }))
        responses[status] ??= {
          description: codes.map((code) => `\`${code}\``).join(', '),
          content,
        };
      responses['default'] ??= { description: 'A problem (RFC 9457)', content };
    }
}

function codesOf(route: Route): Map<number, ErrorCode[]> {
  const byStatus = new Map<number, ErrorCode[]>();
  const codes = CODES_BY_PART.filter(([hasPart]) => hasPart(route)).flatMap(([, some]) => some);
  for (const code of codes) {
    const { status } = PROBLEMS[code];
    byStatus.set(status, [...(byStatus.get(status) ?? []), code]);
  }
  return byStatus;
}
