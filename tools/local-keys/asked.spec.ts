import { whatIsAsked } from './asked.js';

it.each([
  ['hand-over', { does: 'hand-over' }],
  ['take-over', { does: 'take-over', mayLoseQuotas: false }],
  ['take-over --without-quota', { does: 'take-over', mayLoseQuotas: true }],
  ['move dual', { does: 'move', mode: 'dual' }],
])('%s is understood', (line, asked) => {
  expect(whatIsAsked(line.split(' '))).toEqual(asked);
});

it.each([
  ['mvoe dual', 'mvoe'],
  ['move sideways', 'sideways'],
  ['hand-over --dry-run', '--dry-run'],
  ['take-over --without-quotas', '--without-quotas'],
  ['take-over --without-quota --dry-run', '--dry-run'],
  ['take-over --dry-run --without-quota', '--dry-run'],
  ['move dual --service', '--service'],
])('%s does nothing, and names the word that is not known', (line, word) => {
  expect(() => whatIsAsked(line.split(' '))).toThrow(
    `or move with shadow, dual or cutover; ${word} is not known there`,
  );
});

it.each([[[]], [['move']]])('%j says what there is to say', (words) => {
  expect(() => whatIsAsked(words)).toThrow(/or move with shadow, dual or cutover$/);
});
