import type { FastifyInstance } from 'fastify';
import type { Claims } from '#contracts';
import type { TokenVerifier } from '#jwt-guard';
import { openDoors, type Door, type Knock, type OnAnswer } from '#server';
import { knownServiceCaller } from '../service-caller.js';
import type { Gate } from './gate.js';
import { isPlainVerifyBatch, isPlainVerifyBody } from './plain-body.js';
import { questionOf, VERIFY_BATCH_PATH, VERIFY_PATH } from './question-of.js';
import type { SwiftVerifier } from './swift-verifier.js';
import type { Question } from './verifier.js';

/** What the doors answer with. */
export interface VerifyDoorsParts {
  swift: SwiftVerifier;
  tokens: TokenVerifier;
  /** The same that the route uses. */
  batches: Gate;
}

/** Doors to both routes of verification, for callers whose token was seen lately and for the usual kind of body. */
export function openVerifyDoors(fastify: FastifyInstance, parts: VerifyDoorsParts): void {
  const { swift, tokens, batches } = parts;
  const admit: Door<Claims>['admit'] = (request) => knownServiceCaller(request, tokens);
  const one = ({ read, caller, request }: Knock<Claims>, tell: OnAnswer): boolean => {
    const body = read();
    if (!isPlainVerifyBody(body)) return false;
    swift.verify(questionOf(body, caller, request), tell);
    return true;
  };
  // read when it is its turn: as bytes a batch that waits costs the garbage collector nothing
  const batch = (knock: Knock<Claims>, tell: OnAnswer): boolean => {
    batches.enter((leave) => {
      answerBatch(swift, knock, (text, error) => {
        try {
          tell(text, error);
        } finally {
          leave();
        }
      });
    });
    return true;
  };
  openDoors(fastify, [
    { path: VERIFY_PATH, admit, answer: one },
    { path: VERIFY_BATCH_PATH, admit, answer: batch },
  ] as Door<unknown>[]);
}

function answerBatch(swift: SwiftVerifier, knock: Knock<Claims>, tell: OnAnswer): void {
  let questions: Question[] | null;
  try {
    questions = questionsOf(knock);
  } catch (error) {
    return tell(null, error);
  }
  if (questions === null) return tell(null);
  const again = () => questionsOf(knock)!;
  swift.verifyMany(questions, again, (texts, error) =>
    tell(texts && `{"results":[${texts.join(',')}]}`, error),
  );
}

/** Null where the batch is not of the usual kind, or none at all: the route says what it is. */
function questionsOf({ read, caller, request }: Knock<Claims>): Question[] | null {
  const body = jsonOf(read);
  if (!isPlainVerifyBatch(body) || body.partial === true) return null;
  return body.requests.map((each) => questionOf(each, caller, request));
}

function jsonOf(read: () => unknown): unknown {
  try {
    return read();
  } catch {
    return null;
  }
}
