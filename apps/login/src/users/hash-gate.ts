import { ServiceUnavailableException } from '@nestjs/common';

/** Lets a few run at a time and a bounded number wait. */
export interface Gate {
  /** @throws ServiceUnavailableException at once when too many wait already */
  run<T>(work: () => Promise<T>): Promise<T>;
}

/**
 * Bounds what costs much: beyond `running` at a time callers wait in order, beyond `waiting` they are turned away at once,
 * so that a flood of logins takes neither the memory nor the time of everything else.
 */
export function createGate(limits: { running: number; waiting: number }): Gate {
  const queue: (() => void)[] = [];
  let running = 0;
  const leave = () => {
    const next = queue.shift();
    if (next) next();
    else running -= 1;
  };
  return {
    async run(work) {
      if (running < limits.running) running += 1;
      else if (queue.length < limits.waiting) {
        await new Promise<void>((resolve) => queue.push(resolve));
      } else {
        throw new ServiceUnavailableException('Too many logins at present; try again shortly', {
          errorCode: 'SERVICE_UNAVAILABLE',
        });
      }
      try {
        return await work();
      } finally {
        leave();
      }
    },
  };
}
