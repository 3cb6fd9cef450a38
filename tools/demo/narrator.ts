import { maskSecrets } from '#contracts';
import { call, type Answer, type Call } from '../quickstart/http.js';

/** A request that the demo makes, and what has to come back. */
export interface Step extends Call {
  url: string;
  status: number;
  /** The problem code of an answer that is a refusal. */
  code?: string;
  /** For how long another answer may come first: guards hear of a change a moment later. */
  withinMs?: number;
}

/** Says what happens and checks it. */
export interface Narrator {
  /** Starts a part of the story. */
  chapter: (title: string) => void;
  /** Says one thing. */
  tell: (text: string) => void;
  /**
   * Makes a request, prints it and its answer, secrets masked.
   *
   * @returns the body of the answer
   * @throws Error in one line when another answer comes than was expected
   */
  ask: (who: string, step: Step) => Promise<unknown>;
}

const LONGEST_LINE = 1_200;
const SECRET_NAMES = /^(?:password|secret|clientSecret|accessToken|refreshToken)$/;

/** A narrator that writes lines to `print`. */
export function createNarrator(print: (line: string) => void): Narrator {
  const chapters = { count: 0 };
  return {
    chapter: (title) => {
      chapters.count += 1;
      print(`\n== ${chapters.count}. ${title}`);
    },
    tell: (text) => print(`\n   ${text}`),
    ask: async (who, step) => {
      print(`\n${who}`);
      for (const line of linesOf(step)) print(`   > ${line}`);
      const answer = await settled(step);
      print(`   < ${answer.status} ${shown(answer.body)}`);
      expect(step, answer);
      return answer.body;
    },
  };
}

/** The answer that is expected as soon as it comes, else the last one. */
async function settled(step: Step): Promise<Answer> {
  const endMs = performance.now() + (step.withinMs ?? 0);
  for (;;) {
    const answer = await call(step.url, step);
    if (isExpected(step, answer) || performance.now() >= endMs) return answer;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function isExpected({ status, code }: Step, answer: Answer): boolean {
  const got = (answer.body as { code?: unknown } | null)?.code;
  return answer.status === status && (code === undefined || got === code);
}

function linesOf({ method, url, headers = {}, body }: Step): string[] {
  const verb = method ?? (body === undefined ? 'GET' : 'POST');
  return [
    `${verb} ${url}`,
    ...Object.entries(headers).map(([name, value]) => `${name}: ${maskSecrets(value)}`),
    ...(body === undefined ? [] : [shown(body)]),
  ];
}

function shown(body: unknown): string {
  const text = maskSecrets(
    JSON.stringify(body, (name, value: unknown) =>
      SECRET_NAMES.test(name) && typeof value === 'string' ? '[masked]' : value,
    ),
  );
  return text.length > LONGEST_LINE ? `${text.slice(0, LONGEST_LINE)} ...` : text;
}

function expect(step: Step, answer: Answer): void {
  if (isExpected(step, answer)) return;
  const { url, status, code } = step;
  const got = (answer.body as { code?: unknown } | null)?.code;
  const wanted = code === undefined ? String(status) : `${status} ${code}`;
  const came = typeof got === 'string' ? `${answer.status} ${got}` : String(answer.status);
  throw new Error(`Expected ${wanted} from ${url}, got ${came}`);
}
