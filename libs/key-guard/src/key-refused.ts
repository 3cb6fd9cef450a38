import { HttpException } from '@nestjs/common';
import type { RefusalProblem } from './core.js';

/** A "no" of the guard. Its body is an RFC 9457 problem, so an app without a filter of its own answers with that too. */
export class KeyRefused extends HttpException {
  constructor(problem: RefusalProblem, cause?: unknown) {
    super(problem, problem.status, { cause, errorCode: problem.code });
    this.message = problem.detail;
  }
}
