import { problem, reportPage, type ReportPage } from '#contracts';
import type { KeyClient } from '#key-client';
import { ProblemException } from '#server';

/** Reads reports at service-a. */
export interface ReportsClient {
  /**
   * The newest reports, 200 at most.
   *
   * @throws ProblemException UPSTREAM_REFUSED when service-a refuses this service, SERVICE_UNAVAILABLE with Retry-After when
   *   it is away, too slow, over a limit or not to be understood. Neither tells the caller about the key.
   */
  newest(headers: Record<string, string>): Promise<ReportPage>;
}

/** Reports by way of a client that adds the key and bounds the time. */
export function createReportsClient(call: KeyClient): ReportsClient {
  return {
    async newest(headers) {
      const { response, body } = await read(call, headers).catch((cause: unknown) => {
        throw unavailable(cause);
      });
      const page = reportPage.safeParse(body);
      if (response.status === 200 && page.success) return page.data;
      const cause = new Error(`service-a answered ${response.status} ${codeOf(body)}`);
      if (isRefusal(response.status)) throw refused(cause);
      throw unavailable(cause, response.headers.get('retry-after'));
    },
  };
}

async function read(call: KeyClient, headers: Record<string, string>) {
  const response = await call('/v1/reports?limit=200', { headers });
  const body: unknown = await response.json().catch((error: unknown) => {
    if ((error as { name?: unknown }).name === 'SyntaxError') return undefined;
    throw error;
  });
  return { response, body };
}

function isRefusal(status: number): boolean {
  return status >= 400 && status < 500 && status !== 429 && status !== 408;
}

function refused(cause: Error): ProblemException {
  return new ProblemException(
    'UPSTREAM_REFUSED',
    'The reports cannot be read; the operators of this service have to look into it',
    { cause },
  );
}

function unavailable(cause: unknown, retryAfter: string | null = null): ProblemException {
  const seconds = retryAfter !== null && /^[1-9]\d{0,5}$/.test(retryAfter) ? retryAfter : '1';
  return new ProblemException(
    'SERVICE_UNAVAILABLE',
    'The reports cannot be read at present; try again after the time in Retry-After',
    { headers: { 'retry-after': seconds }, cause },
  );
}

function codeOf(body: unknown): string {
  return problem.pick({ code: true }).safeParse(body).data?.code ?? 'without a problem';
}
