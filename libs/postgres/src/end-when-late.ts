import type { Client } from 'pg';

type Send = (...given: unknown[]) => unknown;

/**
 * Ends a connection one of whose statements was given up for want of an answer. The answer may still come, or the network may have
 * dropped the connection without a word; whoever gets it from a pool next would wait behind it in vain. pg itself ends it only where a
 * pool ran the statement, not for who has taken the connection out.
 */
export function endWhenLate(client: Client): void {
  const send = client.query.bind(client) as Send;
  const query: Send = (...given) => {
    const answer = send(...given);
    if (answer instanceof Promise)
      answer.catch((error: unknown) => {
        if (isLate(error)) void client.end().catch(() => undefined);
      });
    return answer;
  };
  Object.assign(client, { query });
}

/** pg gives this error no code. */
function isLate(error: unknown): boolean {
  return error instanceof Error && error.message === 'Query read timeout';
}
