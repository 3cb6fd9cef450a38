import { TokenUnavailable, type ServiceToken } from './service-token.js';

/** How long a token is waited for. */
export interface TokenBound {
  withinMs: number;
  /** Whether nobody waits for it: then it does not keep the process from ending. */
  isBackground: boolean;
}

/**
 * The same source of tokens, but one that gives up: whatever hangs in it holds nobody up for good.
 *
 * @throws TokenUnavailable (from the source) when the token is not there in time
 */
export function boundedToken(
  token: ServiceToken,
  { withinMs, isBackground }: TokenBound,
): ServiceToken {
  return async (refused) => {
    let timer: NodeJS.Timeout | undefined;
    const timeUp = new Promise<never>((_resolve, reject) => {
      const error = new TokenUnavailable('The token request takes too long');
      timer = setTimeout(() => reject(error), withinMs);
      if (isBackground) timer.unref();
    });
    try {
      return await Promise.race([token(refused), timeUp]);
    } finally {
      clearTimeout(timer);
    }
  };
}
