/** The guard without a framework: for Express, Fastify and whatever else asks whether a key may pass. */
export * from './core/index.js';
export type { Verdict } from '#contracts';
