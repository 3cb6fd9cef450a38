/** Injection token of the app's log. */
export const LOG = Symbol('LOG');

/** Injection token of the `RedisLink`, null where there is no Redis. */
export const REDIS_LINK = Symbol('REDIS_LINK');

/** Injection token of the connections of the hot path. */
export const HOT_POOL = Symbol('HOT_POOL');

/** Injection token of the connections of the fence, which must not wait for anybody. */
export const FENCE_POOL = Symbol('FENCE_POOL');
