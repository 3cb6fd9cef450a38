import { problem } from '#contracts';

/** The `code` of an answer that is a problem, null of any other. The answer itself stays unread. */
export async function problemCodeOf(response: Response): Promise<string | null> {
  const body: unknown = await response
    .clone()
    .json()
    .catch(() => null);
  return problem.pick({ code: true }).safeParse(body).data?.code ?? null;
}
