import { likelyMember } from './likely-member.js';

const OF_A_KEY = ['name', 'consumer', 'grants', 'expiresAt', 'expiresInSeconds', 'rateLimits'];
const OF_A_ROTATION = ['overlapSeconds', 'reason', 'deliverTo'];

it.each([
  ['overlap', OF_A_ROTATION, 'overlapSeconds'],
  ['overlapSecond', OF_A_ROTATION, 'overlapSeconds'],
  ['overlap_seconds', OF_A_ROTATION, 'overlapSeconds'],
  ['raeson', OF_A_ROTATION, 'reason'],
  ['expires_at', OF_A_KEY, 'expiresAt'],
  ['ExpiresAt', OF_A_KEY, 'expiresAt'],
  ['expiresAtt', OF_A_KEY, 'expiresAt'],
  ['rateLimit', OF_A_KEY, 'rateLimits'],
  ['consumerSlug', OF_A_KEY, 'consumer'],
  ['nmae', OF_A_KEY, 'name'],
  ['Used', ['used', 'usedBy'], 'used'],
])('%s was likely meant to be one of %j: %s', (name, known, likely) => {
  expect(likelyMember(name, known)).toBe(likely);
});

it.each([
  ['a beginning of two', 'expires', OF_A_KEY],
  ['one slip from two', 'catx', ['cats', 'cat1']],
  ['like none', 'colour', OF_A_KEY],
  ['another short word', 'gone', ['name', 'done1']],
  ['too short to tell', 'na', OF_A_KEY],
  ['longer than any', `name${'e'.repeat(61)}`, OF_A_KEY],
  ['among none', 'name', []],
])('nothing is guessed of what is %s', (_, name, known) => {
  expect(likelyMember(name, known)).toBeNull();
});
