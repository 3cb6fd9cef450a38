import { addProblemAnswers } from './problem-answers.js';

const content = { 'application/problem+json': {} };

function answersOf(operation: object, method = 'post'): Record<string, { description: string }> {
  const responses: Record<string, { description: string }> = { 200: { description: 'fine' } };
  const paths = { '/x': { [method]: { ...operation, responses } } };
  addProblemAnswers({ paths } as never, content);
  return responses;
}
const parameter = (place: string, name: string) => ({ in: place, name });

it('an operation is described with the codes that its parts can be refused with, by status', () => {
  const answers = answersOf({
    security: [{ bearer: [] }],
    parameters: [parameter('path', 'id'), parameter('header', 'Idempotency-Key')],
    requestBody: {},
  });
  const told = Object.entries(answers).map(([status, { description }]) => [status, description]);
  expect(Object.fromEntries(told)).toEqual({
    200: 'fine',
    400: '`INVALID_REQUEST`, `INVALID_JSON`, `INVALID_HEADER`',
    401: '`UNAUTHENTICATED`, `INVALID_TOKEN`',
    403: '`FORBIDDEN`',
    404: '`NOT_FOUND`',
    413: '`BODY_TOO_LARGE`',
    415: '`UNSUPPORTED_MEDIA_TYPE`',
    422: '`IDEMPOTENCY_KEY_REUSED`',
    default: 'A problem (RFC 9457)',
  });
  expect(answers['404']).toMatchObject({ content });
});

it('If-Match is required of a change only', () => {
  const parameters = [parameter('header', 'If-Match')];
  expect(answersOf({ parameters }, 'patch')).toHaveProperty('428');
  expect(answersOf({ parameters })).not.toHaveProperty('428');
  expect(answersOf({ parameters })).toHaveProperty('412');
});

it('what a route says of itself stays as it is', () => {
  const own = { 400: { description: 'its own' } };
  const paths = { '/x': { post: { requestBody: {}, responses: own } } };
  addProblemAnswers({ paths } as never, content);
  expect(own[400]).toEqual({ description: 'its own' });
});
