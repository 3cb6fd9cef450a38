const TRACEPARENT = /^[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$/;

/** What is looked at of a request: its id, as Fastify keeps it, and its headers. */
export interface TracedRequest {
  id?: unknown;
  headers: Record<string, string | string[] | undefined>;
}

/** Headers for the calls that a request causes: its `x-request-id`, and its W3C `traceparent` where it came with one. */
export function traceHeaders(request: TracedRequest): Record<string, string> {
  const { traceparent } = request.headers;
  return {
    ...(typeof request.id === 'string' && { 'x-request-id': request.id }),
    ...(typeof traceparent === 'string' && TRACEPARENT.test(traceparent) && { traceparent }),
  };
}
